import { paths } from '@tidemark/core/wire';
import { z } from 'zod';
import { keyBody } from './key-body.ts';
import { keysPage } from './keys.ts';
import { type Operation, timeSchema } from './openapi.ts';

const id = z.uuid();
const quota = z.int().nullable();

const key = z.strictObject({
  id,
  role: z.enum(['write', 'read', 'admin']),
  streams: z.array(z.string()).nullable(),
  origins: z.array(z.string()).nullable(),
  quotas: z.strictObject({ eventsPerSecond: quota, bytesPerSecond: quota }),
  defaultStream: z.string().nullable(),
  createdAt: timeSchema,
  revokedAt: timeSchema.nullable(),
});

/** Keys, for the admin. */
export const keysOperations: readonly Operation[] = [
  {
    method: 'post',
    path: paths.keys,
    id: 'createKey',
    summary: 'Make a key',
    description: 'The answer is the only place where the key is ever shown.',
    role: 'admin',
    body: { 'application/json': keyBody },
    reply: { 'application/json': z.strictObject({ id, key: z.string() }) },
    problems: ['malformed', 'invalid_parameter', 'body_too_large'],
  },
  {
    method: 'get',
    path: paths.keys,
    id: 'listKeys',
    summary: 'The keys that were made, revoked ones too, without what is secret',
    role: 'admin',
    parameters: [
      { in: 'query', name: 'cursor', description: 'The `nextCursor` of the list before.', schema: id },
      {
        in: 'query',
        name: 'limit',
        description: 'Keys of the list.',
        schema: z.int().min(1).max(keysPage.max).default(keysPage.default),
      },
    ],
    reply: {
      'application/json': z.strictObject({ keys: z.array(key), nextCursor: z.string().nullable() }),
    },
    problems: ['invalid_parameter'],
  },
  {
    method: 'delete',
    path: `${paths.keys}/{id}`,
    id: 'revokeKey',
    summary: 'Revoke a key',
    description: 'Within 5 seconds no collector takes it any more, and answers that are open end.',
    role: 'admin',
    parameters: [{ in: 'path', name: 'id', description: 'The id of the key.', schema: id }],
    reply: { 'application/json': z.strictObject({ id, revokedAt: timeSchema }) },
    problems: ['key_not_found'],
  },
];
