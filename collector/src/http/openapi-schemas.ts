import { schemaModes } from '@tidemark/core/wire';
import { z } from 'zod';
import { type Operation, type Parameter, timeSchema } from './openapi.ts';
import { streamParameter } from './openapi-parameters.ts';
import { schemaBody, schemasPage } from './schemas.ts';

const nameParameter: Parameter = {
  in: 'path',
  name: 'name',
  description: 'The name of the events that it is for.',
  schema: z.string().min(1),
};

const schema = z.strictObject({
  stream: z.string(),
  name: z.string(),
  mode: z.enum(schemaModes),
  schema: z.record(z.string(), z.unknown()),
  changedAt: timeSchema,
  warned: z.int().min(0).describe('Events that did not match and were stored, since it was put.'),
  rejected: z.int().min(0).describe('Events that did not match and were rejected, since it was put.'),
});

const path = '/v1/streams/{stream}/schemas/{name}';

/** What props have to look like. */
export const schemasOperations: readonly Operation[] = [
  {
    method: 'get',
    path: '/v1/streams/{stream}/schemas',
    id: 'listSchemas',
    summary: 'The schemas of a stream, by name',
    role: 'read',
    parameters: [
      streamParameter,
      {
        in: 'query',
        name: 'cursor',
        description: 'The `nextCursor` of the list before.',
        schema: z.string(),
      },
      {
        in: 'query',
        name: 'limit',
        description: 'Schemas of the list.',
        schema: z.int().min(1).max(schemasPage.max).default(schemasPage.default),
      },
    ],
    reply: {
      'application/json': z.strictObject({ schemas: z.array(schema), nextCursor: z.string().nullable() }),
    },
    problems: ['invalid_parameter', 'stream_not_found'],
  },
  {
    method: 'get',
    path,
    id: 'getSchema',
    summary: 'The schema of the events of a name',
    role: 'read',
    parameters: [streamParameter, nameParameter],
    reply: { 'application/json': schema },
    problems: ['stream_not_found', 'schema_not_found'],
  },
  {
    method: 'put',
    path,
    id: 'putSchema',
    summary: 'Say what the props of the events of a name have to look like',
    description: 'Every collector knows it within seconds. Its counts begin anew.',
    role: 'admin',
    parameters: [streamParameter, nameParameter],
    body: { 'application/json': schemaBody },
    reply: { 'application/json': schema },
    problems: ['malformed', 'invalid_parameter', 'body_too_large', 'stream_not_found', 'too_many_schemas'],
  },
  {
    method: 'delete',
    path,
    id: 'deleteSchema',
    summary: 'Delete the schema of the events of a name',
    role: 'admin',
    parameters: [streamParameter, nameParameter],
    reply: {
      'application/json': z.strictObject({ stream: z.string(), name: z.string(), deleted: z.literal(true) }),
    },
    problems: ['stream_not_found', 'schema_not_found'],
  },
];
