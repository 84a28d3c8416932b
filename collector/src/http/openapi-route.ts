import type { Limits } from '@tidemark/core/wire';
import { Hono } from 'hono';
import { describeApi } from './openapi.ts';
import { consumersOperations } from './openapi-consumers.ts';
import { deadLettersOperations } from './openapi-dead-letters.ts';
import { eventsOperations } from './openapi-events.ts';
import { keysOperations } from './openapi-keys.ts';
import { schemasOperations } from './openapi-schemas.ts';
import { serviceOperations } from './openapi-service.ts';
import { streamsOperations } from './openapi-streams.ts';
import type { Replies } from './respond.ts';

export interface OpenApiDependencies {
  readonly replies: Replies;
  /** Those in force: the description says them. */
  readonly limits: Limits;
}

/** `GET /openapi.json`: what can be asked here, in OpenAPI 3.1. No key. */
export function createOpenApiRoute({ replies, limits }: OpenApiDependencies): Hono {
  const body = describeApi([
    ...eventsOperations(limits),
    ...streamsOperations,
    ...consumersOperations,
    ...keysOperations,
    ...deadLettersOperations,
    ...schemasOperations,
    ...serviceOperations,
  ]);
  return new Hono().get('/openapi.json', () => replies.json(body));
}
