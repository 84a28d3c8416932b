import {
  type Committed,
  type Consumer,
  consumerLimits,
  type ConsumerShard,
  type ConsumerSummary,
  type Lease,
  type ProblemCode,
} from '@tidemark/core/wire';
import { z } from 'zod';
import { commitBody, consumerBody, leaseBody, releaseBody, seekBody } from './consumer-bodies.ts';
import { type Operation, timeSchema } from './openapi.ts';
import { consumerParameter, cursorSchema, streamParameter } from './openapi-parameters.ts';

const shardNumber = z.int().min(0);
const behindMs = z.int().min(0).describe('How far it is behind the watermark.');
const generation = z.int().min(0).describe('One tenure of the shard.');

const consumerShard = z.strictObject({
  shard: shardNumber,
  cursor: cursorSchema.describe('The committed one.'),
  behindMs,
  generation,
  member: z.string().nullable().describe('Who has it on lease.'),
  expiresAt: timeSchema.nullable(),
}) satisfies z.ZodType<ConsumerShard>;

const consumer = z.strictObject({
  consumer: z.string(),
  stream: z.string(),
  createdAt: timeSchema,
  shards: z.array(consumerShard),
}) satisfies z.ZodType<Consumer>;

const summary = z.strictObject({
  consumer: z.string(),
  createdAt: timeSchema,
  shards: z.int(),
  leased: z.int().describe('Shards that somebody has on lease.'),
  behindMs: behindMs.describe('Of the shard that is furthest behind.'),
}) satisfies z.ZodType<ConsumerSummary>;

const lease = z.strictObject({
  shard: shardNumber,
  generation: generation.describe('Commits carry it. Another one than before: begin again at `cursor`.'),
  cursor: cursorSchema.describe('The committed one: read on from it.'),
  expiresAt: timeSchema,
  share: z
    .int()
    .min(1)
    .describe('How many shards this member should have: release what is above it, ask for more below it.'),
}) satisfies z.ZodType<Lease>;

const committed = z.strictObject({
  shard: shardNumber,
  cursor: cursorSchema.describe('The committed one, now.'),
  outdated: z.boolean().describe('The cursor sent was older than the committed one, which stays.'),
  behindMs,
}) satisfies z.ZodType<Committed>;

const parameters = [streamParameter, consumerParameter];
const missing: readonly ProblemCode[] = ['stream_not_found', 'consumer_not_found'];
const badBody: readonly ProblemCode[] = ['malformed', 'invalid_parameter', 'body_too_large'];
const badCursor: readonly ProblemCode[] = ['invalid_cursor', 'epoch_changed', 'cursor_expired'];

/** Named readers whose place the server keeps. */
export const consumersOperations: readonly Operation[] = [
  {
    method: 'get',
    path: '/v1/streams/{stream}/consumers',
    id: 'listConsumers',
    summary: 'The consumers of a stream',
    role: 'read',
    parameters: [streamParameter],
    reply: { 'application/json': z.strictObject({ consumers: z.array(summary) }) },
    problems: ['stream_not_found'],
  },
  {
    method: 'get',
    path: '/v1/streams/{stream}/consumers/{consumer}',
    id: 'getConsumer',
    summary: 'Where a consumer stands, and who has its shards',
    role: 'read',
    parameters,
    reply: { 'application/json': consumer },
    problems: missing,
  },
  {
    method: 'put',
    path: '/v1/streams/{stream}/consumers/{consumer}',
    id: 'putConsumer',
    summary: 'Create a consumer',
    description: `One that is there stays where it stands. A stream can have ${consumerLimits.perStream}.`,
    role: 'read',
    parameters,
    body: { 'application/json': consumerBody },
    reply: { 'application/json': consumer },
    problems: ['stream_not_found', ...badBody, 'consumer_conflict', 'cursor_expired', 'too_many_consumers'],
  },
  {
    method: 'delete',
    path: '/v1/streams/{stream}/consumers/{consumer}',
    id: 'deleteConsumer',
    summary: 'Delete a consumer',
    role: 'read',
    parameters,
    reply: { 'application/json': z.strictObject({ consumer: z.string(), deleted: z.literal(true) }) },
    problems: missing,
  },
  {
    method: 'post',
    path: '/v1/streams/{stream}/consumers/{consumer}/lease',
    id: 'leaseShard',
    summary: 'Take a shard of a consumer, or renew its lease',
    description:
      'Only the holder of the lease can commit. A lease that is not renewed can be taken by others when it expires.',
    role: 'read',
    parameters,
    body: { 'application/json': leaseBody },
    reply: { 'application/json': lease },
    problems: [...missing, ...badBody, 'no_free_shard'],
  },
  {
    method: 'delete',
    path: '/v1/streams/{stream}/consumers/{consumer}/lease',
    id: 'releaseShard',
    summary: 'Give a shard back',
    role: 'read',
    parameters,
    body: { 'application/json': releaseBody },
    reply: {
      'application/json': z.strictObject({
        shard: shardNumber,
        released: z.boolean().describe('false: the lease had moved on before.'),
      }),
    },
    problems: [...missing, ...badBody],
  },
  {
    method: 'put',
    path: '/v1/streams/{stream}/consumers/{consumer}/shards/{shard}/cursor',
    id: 'commitCursor',
    summary: 'Commit a cursor: everything up to it is done',
    description: 'Commits move forward only. To go back, seek.',
    role: 'read',
    parameters: [
      ...parameters,
      { in: 'path', name: 'shard', description: 'The shard, counted from 0.', schema: shardNumber },
    ],
    body: { 'application/json': commitBody },
    reply: { 'application/json': committed },
    problems: [...missing, ...badBody, ...badCursor, 'stale_generation', 'cursor_conflict'],
  },
  {
    method: 'post',
    path: '/v1/streams/{stream}/consumers/{consumer}/seek',
    id: 'seekConsumer',
    summary: 'Move a consumer anywhere, also back',
    description: 'Ends the leases of the shards that it moves. Give exactly one of `cursor` and `from`.',
    role: 'read',
    parameters,
    body: { 'application/json': seekBody },
    reply: { 'application/json': consumer },
    problems: [...missing, ...badBody, ...badCursor],
  },
];
