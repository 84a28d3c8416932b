import {
  type Committed,
  type Consumer,
  type ConsumerShard,
  type ConsumerSummary,
  formatTime,
  type Lease,
} from '@tidemark/core/wire';
import type { CommitOutcome } from '../read/commit.ts';
import { behindOf, type ConsumerName, cursorOf, type FoundConsumer, isLeased } from '../read/consumers.ts';
import { encodeCursor } from '../read/cursor.ts';
import type { GivenLease } from '../read/lease.ts';
import type { ConsumerSummaryRow, ShardState } from '../store/consumers.ts';
import type { StreamHead } from '../store/page.ts';

// Consumers as they are shown.

export function describeConsumer({ stream, name }: ConsumerName, found: FoundConsumer): Consumer {
  const { head, now, consumer } = found;
  return {
    consumer: name,
    stream,
    createdAt: formatTime(consumer.createdAt),
    shards: consumer.shards.map((shard) => describeShard(head, shard, now)),
  };
}

function describeShard(head: StreamHead, shard: ShardState, now: bigint): ConsumerShard {
  const leased = isLeased(shard, now);
  return {
    shard: shard.shard,
    cursor: cursorText(head, shard),
    behindMs: milliseconds(behindOf(head, shard)),
    generation: Number(shard.generation),
    member: leased ? shard.member : null,
    expiresAt: leased && shard.expiresAt !== null ? formatTime(shard.expiresAt) : null,
  };
}

export function describeSummary(row: ConsumerSummaryRow): ConsumerSummary {
  const { name, createdAt, shards, leased, behind } = row;
  const behindMs = behind > 0n ? milliseconds(behind) : 0;
  return { consumer: name, createdAt: formatTime(createdAt), shards, leased, behindMs };
}

export function describeLease({ head, shard, share }: GivenLease): Lease {
  return {
    shard: shard.shard,
    generation: Number(shard.generation),
    cursor: cursorText(head, shard),
    expiresAt: formatTime(shard.expiresAt ?? 0n),
    share,
  };
}

export function describeCommitted({ head, shard, outdated }: CommitOutcome): Committed {
  const behindMs = milliseconds(behindOf(head, shard));
  return { shard: shard.shard, cursor: cursorText(head, shard), outdated, behindMs };
}

function cursorText(head: StreamHead, shard: ShardState): string {
  const { identity, epoch, position } = cursorOf(head, shard);
  return encodeCursor(identity, epoch, position);
}

function milliseconds(micros: bigint): number {
  return Number(micros / 1_000n);
}
