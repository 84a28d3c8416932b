import { leaseMicrosMax, type ShardRow, type ShardState, shardOf } from './consumers.ts';
import type { Sql } from './database.ts';

export interface LeaseRequest {
  readonly consumerId: bigint;
  readonly member: string;
  /** Microseconds from now. */
  readonly ttl: bigint;
}

/**
 * Leases of shards. Their time is the database's, so that no clock of a member or a collector matters. That clock may be set back: a lease
 * that would last longer than any may is over too.
 */
export interface LeaseStore {
  /**
   * Notes that a member asks for shards, for as long as its lease would last. Answers how many others ask and have none. Members
   * beyond the most that are noted get shards all the same; the shares of the others are then a little too large.
   */
  note(request: LeaseRequest): Promise<number>;
  /** Makes a lease that the member has, or had and nobody took since, last longer. Undefined: somebody else has it. */
  renew(request: LeaseRequest, shard: number): Promise<ShardState | undefined>;
  /** Takes this shard if it is free. */
  take(request: LeaseRequest, shard: number): Promise<ShardState | undefined>;
  /** Takes the shard that has been free for longest. Of members that ask at the same time each gets another one. */
  takeAny(request: LeaseRequest): Promise<ShardState | undefined>;
  /** Gives a shard back. A member that has no other leaves. False: it was not the member's any more. */
  release(consumerId: bigint, lease: HeldLease): Promise<boolean>;
}

export interface HeldLease {
  readonly member: string;
  readonly shard: number;
  readonly generation: bigint;
}

export interface LeaseStoreOptions {
  /** Most members of a consumer that are noted. */
  readonly membersMax: number;
}

export function createLeaseStore(sql: Sql, { membersMax }: LeaseStoreOptions): LeaseStore {
  return {
    note: (request) => noteMember(sql, request, membersMax),
    renew: (request, shard) => renewLease(sql, request, shard),
    take: (request, shard) => takeShard(sql, request, shard),
    takeAny: (request) => takeAnyShard(sql, request),
    release: (consumerId, lease) => releaseShard(sql, consumerId, lease),
  };
}

async function noteMember(sql: Sql, request: LeaseRequest, membersMax: number): Promise<number> {
  const { consumerId, member, ttl } = request;
  const [row] = await sql<[{ waiting: number }]>`
    with alive as materialized (
      -- Locked, so that it is not deleted meanwhile.
      select consumer_id from tidemark.consumers where consumer_id = ${consumerId} for key share
    ), gone as (
      delete from tidemark.consumer_members where ctid = any (array(
        select ctid from tidemark.consumer_members
        where consumer_id = ${consumerId} and member <> ${member}
          and not (expires_at > tidemark.clock() and expires_at <= tidemark.clock() + ${leaseMicrosMax}::bigint)
        limit 100 for update skip locked
      ))
    ), noted as (
      insert into tidemark.consumer_members (consumer_id, member, expires_at)
      select consumer_id, ${member}, tidemark.clock() + ${ttl}::bigint from alive
      where (select count(*) from tidemark.consumer_members where consumer_id = ${consumerId}) < ${membersMax}::integer
        or exists (select from tidemark.consumer_members where consumer_id = ${consumerId} and member = ${member})
      on conflict (consumer_id, member) do update set expires_at = excluded.expires_at
    )
    select count(*)::integer as waiting from tidemark.consumer_members m
    where m.consumer_id = ${consumerId} and m.member <> ${member}
      and m.expires_at > tidemark.clock() and m.expires_at <= tidemark.clock() + ${leaseMicrosMax}::bigint
      and not exists (
        select from tidemark.consumer_shards h
        where h.consumer_id = m.consumer_id and h.member = m.member
          and h.expires_at > tidemark.clock() and h.expires_at <= tidemark.clock() + ${leaseMicrosMax}::bigint
      )`;
  return row.waiting;
}

async function renewLease(sql: Sql, request: LeaseRequest, shard: number): Promise<ShardState | undefined> {
  const [row] = await sql<ShardRow[]>`
    update tidemark.consumer_shards set expires_at = tidemark.clock() + ${request.ttl}::bigint
    where consumer_id = ${request.consumerId} and shard = ${shard} and member = ${request.member}
    returning shard, epoch as cursor_epoch, order_time, seq, generation, member, expires_at`;
  return row === undefined ? undefined : shardOf(row);
}

async function takeShard(sql: Sql, request: LeaseRequest, shard: number): Promise<ShardState | undefined> {
  const [row] = await sql<ShardRow[]>`
    update tidemark.consumer_shards
    set member = ${request.member}, expires_at = tidemark.clock() + ${request.ttl}::bigint,
      generation = tidemark.next_generation(generation)
    where consumer_id = ${request.consumerId} and shard = ${shard}
      and not coalesce(expires_at > tidemark.clock() and expires_at <= tidemark.clock() + ${leaseMicrosMax}::bigint, false)
    returning shard, epoch as cursor_epoch, order_time, seq, generation, member, expires_at`;
  return row === undefined ? undefined : shardOf(row);
}

async function takeAnyShard(sql: Sql, request: LeaseRequest): Promise<ShardState | undefined> {
  const [row] = await sql<ShardRow[]>`
    update tidemark.consumer_shards
    set member = ${request.member}, expires_at = tidemark.clock() + ${request.ttl}::bigint,
      generation = tidemark.next_generation(generation)
    where consumer_id = ${request.consumerId} and shard = (
      select shard from tidemark.consumer_shards
      where consumer_id = ${request.consumerId}
        and not coalesce(expires_at > tidemark.clock() and expires_at <= tidemark.clock() + ${leaseMicrosMax}::bigint, false)
      order by expires_at nulls first, shard
      limit 1 for update skip locked
    )
    returning shard, epoch as cursor_epoch, order_time, seq, generation, member, expires_at`;
  return row === undefined ? undefined : shardOf(row);
}

async function releaseShard(sql: Sql, consumerId: bigint, lease: HeldLease): Promise<boolean> {
  const { member, shard, generation } = lease;
  const [row] = await sql<[{ released: boolean }]>`
    with released as (
      update tidemark.consumer_shards
      set member = null, expires_at = null, generation = tidemark.next_generation(generation)
      where consumer_id = ${consumerId} and shard = ${shard} and member = ${member} and generation = ${generation}
      returning consumer_id
    ), left_over as (
      delete from tidemark.consumer_members m using released r
      where m.consumer_id = r.consumer_id and m.member = ${member} and not exists (
        select from tidemark.consumer_shards h
        where h.consumer_id = m.consumer_id and h.shard <> ${shard} and h.member = ${member} and h.expires_at > tidemark.clock()
      )
    )
    select exists (select from released) as released`;
  return row.released;
}
