import { consumerLimits, memberPattern } from '@tidemark/core/wire';
import { z } from 'zod';

// What the requests about consumers bring.

const from = z.string().describe('`earliest`, `latest` or an RFC 3339 time.');
const cursor = z.string().max(64).describe('A cursor of the stream.');
const shard = z
  .int()
  .min(0)
  .max(consumerLimits.shards.max - 1)
  .describe('Counted from 0.');
const generation = z.int().min(1).describe('Of the lease.');
const member = z.string().regex(memberPattern).describe("One process's own name.");

export const consumerBody = z.strictObject({
  from: from.exactOptional().describe('Where a new consumer begins. Default: earliest.'),
  shards: z
    .int()
    .min(1)
    .max(consumerLimits.shards.max)
    .exactOptional()
    .describe(`Parts that are read apart. Default: ${consumerLimits.shards.default}.`),
});

export const leaseBody = z.strictObject({
  member,
  ttlMs: z
    .int()
    .min(consumerLimits.ttlMs.min)
    .max(consumerLimits.ttlMs.max)
    .describe('How long the lease lasts unless it is renewed.'),
  shard: shard.exactOptional().describe('Renews or takes this one. Without it: one more, or the only one.'),
});

export const releaseBody = z.strictObject({ member, shard, generation });

export const commitBody = z.strictObject({
  cursor,
  generation: generation.exactOptional(),
  previousCursor: cursor
    .exactOptional()
    .describe('In place of a generation, for a consumer of one shard that nobody has on lease.'),
});

export const seekBody = z.strictObject({
  cursor: cursor.exactOptional(),
  from: from.exactOptional(),
  shard: shard.exactOptional().describe('Without it: all shards.'),
});
