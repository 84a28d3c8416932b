import type { ConsumerStore, ShardState } from '../store/consumers.ts';
import type { HeldLease, LeaseStore } from '../store/leases.ts';
import type { StreamHead } from '../store/page.ts';
import { type ConsumerName, type ConsumerRefusal, found, isLeased } from './consumers.ts';
import { shareOf } from './shares.ts';

/**
 * Leases: which member reads which shard. A lease ends when it is given back, when its time is over and somebody takes the shard,
 * and with a seek; each of these begins another generation. A member that comes back late and finds that nobody took its shard
 * goes on as if nothing had happened.
 */
export interface LeaseAsk extends ConsumerName {
  /** One process's own name. */
  readonly member: string;
  /** Microseconds. */
  readonly ttl: bigint;
  /** Renews or takes this one; undefined: one more, or the only one there is. */
  readonly shard: number | undefined;
}

export interface GivenLease {
  readonly head: StreamHead;
  readonly shard: ShardState;
  /** How many shards the member should have. */
  readonly share: number;
}

export interface LeaseRelease extends ConsumerName, HeldLease {}

export function createLeases(consumers: Pick<ConsumerStore, 'read'>, leases: LeaseStore) {
  return {
    async lease(ask: LeaseAsk): Promise<GivenLease | ConsumerRefusal> {
      const state = found(await consumers.read(ask.stream, ask.name));
      if ('refused' in state) return state;
      const { head, now, consumer } = state;
      const { consumerId, shards } = consumer;
      if (ask.shard !== undefined && shards[ask.shard] === undefined)
        return { refused: 'no_such_shard', shards: shards.length };

      const request = { consumerId, member: ask.member, ttl: ask.ttl };
      const waiting = await leases.note(request);
      const wanted = ask.shard ?? (shards.length === 1 ? 0 : undefined);
      const held = heldShards(shards, now);
      const own = held.get(ask.member) ?? 0;
      if (wanted === undefined && own >= shareOf(shards.length, ask.member, held, waiting))
        return { refused: 'no_free_shard' };
      const shard =
        wanted === undefined
          ? await leases.takeAny(request)
          : ((await leases.renew(request, wanted)) ?? (await leases.take(request, wanted)));
      if (shard === undefined) return { refused: 'no_free_shard' };
      const share = shareOf(shards.length, ask.member, withShard(shards, shard, now), waiting);
      return { head, shard, share };
    },

    /** False: the lease had moved on before. */
    async release(lease: LeaseRelease): Promise<boolean | ConsumerRefusal> {
      const state = found(await consumers.read(lease.stream, lease.name));
      if ('refused' in state) return state;
      return leases.release(state.consumer.consumerId, lease);
    },
  };
}

/** How many shards each member has on lease. */
function heldShards(shards: readonly ShardState[], now: bigint): Map<string, number> {
  const held = new Map<string, number>();
  for (const shard of shards) {
    if (shard.member !== null && isLeased(shard, now))
      held.set(shard.member, (held.get(shard.member) ?? 0) + 1);
  }
  return held;
}

function withShard(shards: readonly ShardState[], changed: ShardState, now: bigint): Map<string, number> {
  return heldShards(
    shards.map((shard) => (shard.shard === changed.shard ? changed : shard)),
    now,
  );
}
