import { type ConsumerState, leaseMicrosMax, type Place, type ShardState } from '../store/consumers.ts';
import type { Position, StreamHead } from '../store/page.ts';
import type { Cursor } from './cursor.ts';
import { type PageRefusal, refusalOf, type Start } from './page.ts';

/** Which consumer is meant. */
export interface ConsumerName {
  readonly stream: string;
  readonly name: string;
}

/** Why something cannot be done with a consumer. */
export type ConsumerRefusal =
  | PageRefusal
  | { readonly refused: 'consumer_not_found' }
  | { readonly refused: 'consumer_conflict'; readonly shards: number }
  | { readonly refused: 'too_many_consumers' }
  | { readonly refused: 'no_such_shard'; readonly shards: number }
  | { readonly refused: 'no_free_shard' }
  | { readonly refused: 'stale_generation'; readonly shard: number }
  | { readonly refused: 'lease_needed'; readonly shards: number }
  | { readonly refused: 'cursor_conflict'; readonly resumeCursor: string };

/** A consumer that is there. */
export interface FoundConsumer extends Omit<ConsumerState, 'consumer'> {
  readonly consumer: NonNullable<ConsumerState['consumer']>;
}

export function found(state: ConsumerState | undefined): FoundConsumer | ConsumerRefusal {
  if (state === undefined) return { refused: 'stream_not_found' };
  const { consumer } = state;
  return consumer === undefined ? { refused: 'consumer_not_found' } : { ...state, consumer };
}

/** The place that a start means at this moment. */
export function placeOf(start: Start, head: StreamHead): Place | PageRefusal {
  const position = positionOf(start, head);
  return refusalOf(start, position, head) ?? { epoch: head.epoch, position };
}

function positionOf(start: Start, head: StreamHead): Position {
  if (start.at === 'cursor') return start.cursor.position;
  if (start.at === 'time') return { orderTime: start.orderTime, seq: 0n };
  return { orderTime: start.at === 'earliest' ? head.retainedMark : head.watermark, seq: 0n };
}

/** The committed cursor of a shard. */
export function cursorOf(head: StreamHead, shard: ShardState): Cursor {
  return { identity: head.identity, epoch: shard.epoch, position: shard.position };
}

/** Where a shard stands in the stream of now: of an older epoch nothing counts above the beginning of the present one. */
export function standingOf(head: StreamHead, shard: ShardState): Position {
  const { epoch, position } = shard;
  return epoch < head.epoch && position.orderTime >= head.epochStart
    ? { orderTime: head.epochStart, seq: 0n }
    : position;
}

/** How far a shard is behind the watermark, microseconds. */
export function behindOf(head: StreamHead, shard: ShardState): bigint {
  const behind = head.watermark - standingOf(head, shard).orderTime;
  return behind > 0n ? behind : 0n;
}

/** Whether somebody has the shard on lease at this moment. One that would last longer than any may is of a clock that was set back since. */
export function isLeased({ expiresAt }: ShardState, now: bigint): boolean {
  return expiresAt !== null && expiresAt > now && expiresAt <= now + leaseMicrosMax;
}

export function isBefore(a: Position, b: Position): boolean {
  return a.orderTime < b.orderTime || (a.orderTime === b.orderTime && a.seq < b.seq);
}

export function isSame(a: Position, b: Position): boolean {
  return a.orderTime === b.orderTime && a.seq === b.seq;
}
