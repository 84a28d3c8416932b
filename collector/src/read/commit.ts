import type { ConsumerStore, Place, ShardState } from '../store/consumers.ts';
import type { StreamHead } from '../store/page.ts';
import {
  type ConsumerName,
  type ConsumerRefusal,
  cursorOf,
  type FoundConsumer,
  found,
  isBefore,
  isLeased,
  isSame,
  placeOf,
  standingOf,
} from './consumers.ts';
import { type Cursor, encodeCursor } from './cursor.ts';
import type { Start } from './page.ts';

/**
 * Commits: how the cursor of a consumer moves forward. Each is a look at the shard, a judgement, and a write that takes place only
 * if the shard is still as it was seen; if not, it is looked at again. Whoever has lost the shard is refused by the number of the
 * tenure, so a member that was stopped for an hour cannot undo or overtake what others did meanwhile.
 */
export interface CommitRequest extends ConsumerName {
  readonly shard: number;
  readonly cursor: Cursor;
  /** The right to commit: a tenure of the shard, or, with neither shards nor leases, the cursor that was committed before. */
  readonly by: { readonly generation: bigint } | { readonly previousCursor: Cursor };
}

export interface CommitOutcome {
  readonly head: StreamHead;
  /** As it is now. */
  readonly shard: ShardState;
  readonly outdated: boolean;
}

export interface SeekRequest extends ConsumerName {
  readonly start: Start;
  /** Undefined: all of them. */
  readonly shard: number | undefined;
}

/** Each new try means that somebody else has just committed or taken the shard. */
const triesMax = 50;

export function createCommits(store: Pick<ConsumerStore, 'read' | 'move' | 'seek'>) {
  return {
    async commit(request: CommitRequest): Promise<CommitOutcome | ConsumerRefusal> {
      for (let tries = 1; tries <= triesMax; tries += 1) {
        const state = found(await store.read(request.stream, request.name));
        if ('refused' in state) return state;
        const { head, consumer } = state;
        const verdict = judge(request, state);
        if ('refused' in verdict) return verdict;
        const { shard, place } = verdict;
        if (place === undefined) return { head, shard, outdated: verdict.outdated };
        if (await store.move(consumer.consumerId, shard, place))
          return { head, shard: { ...shard, ...place }, outdated: false };
      }
      throw new Error(`A shard changed ${triesMax} times while its cursor was to be committed`);
    },

    /** Moves a consumer, or one shard of it, anywhere. Who has it on lease loses it. */
    async seek(request: SeekRequest): Promise<FoundConsumer | ConsumerRefusal> {
      const { stream, name, start, shard } = request;
      const state = found(await store.read(stream, name));
      if ('refused' in state) return state;
      const { head, consumer } = state;
      if (shard !== undefined && consumer.shards[shard] === undefined)
        return { refused: 'no_such_shard', shards: consumer.shards.length };
      const place = placeOf(start, head);
      if ('refused' in place) return place;
      await store.seek(consumer.consumerId, shard, place);
      return found(await store.read(stream, name));
    },
  };
}

type Verdict =
  | ConsumerRefusal
  /** `place` undefined: the shard stays where it is. */
  | { readonly shard: ShardState; readonly place: Place | undefined; readonly outdated: boolean };

function judge(request: CommitRequest, { head, now, consumer }: FoundConsumer): Verdict {
  const { cursor, by } = request;
  const shard = consumer.shards[request.shard];
  if (shard === undefined) return { refused: 'no_such_shard', shards: consumer.shards.length };
  if ('generation' in by) {
    if (by.generation !== shard.generation) return { refused: 'stale_generation', shard: shard.shard };
  } else {
    if (consumer.shards.length > 1) return { refused: 'lease_needed', shards: consumer.shards.length };
    if (isLeased(shard, now)) return { refused: 'stale_generation', shard: shard.shard };
    const committed = cursorOf(head, shard);
    if (!isSameCursor(by.previousCursor, committed)) {
      const { identity, epoch, position } = committed;
      return { refused: 'cursor_conflict', resumeCursor: encodeCursor(identity, epoch, position) };
    }
  }
  const place = placeOf({ at: 'cursor', cursor }, head);
  if ('refused' in place) return place;
  const standing = standingOf(head, shard);
  if (isBefore(place.position, standing)) return { shard, place: undefined, outdated: true };
  const stays = shard.epoch === head.epoch && isSame(place.position, standing);
  return { shard, place: stays ? undefined : place, outdated: false };
}

function isSameCursor(a: Cursor, b: Cursor): boolean {
  return a.identity === b.identity && a.epoch === b.epoch && isSame(a.position, b.position);
}
