import { consumerNamePattern, streamNamePattern } from '@tidemark/core/wire';
import { z } from 'zod';
import type { Parameter } from './openapi.ts';

// What several operations have in common.

export const streamParameter: Parameter = {
  in: 'path',
  name: 'stream',
  description: 'The name of the stream.',
  schema: z.string().regex(streamNamePattern),
};

export const consumerParameter: Parameter = {
  in: 'path',
  name: 'consumer',
  description: 'The name of the consumer.',
  schema: z.string().regex(consumerNamePattern),
};

export const cursorSchema = z
  .string()
  .max(64)
  .describe('A place in one stream. It stays good until retention takes it.');
