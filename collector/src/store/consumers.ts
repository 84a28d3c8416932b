import { consumerLimits } from '@tidemark/core/wire';
import type { Sql } from './database.ts';
import type { Position, StreamHead } from './page.ts';

/** No lease ends later than so long from now, microseconds: the longest there may be, and a minute for looks at the clock that differ. */
export const leaseMicrosMax = BigInt(consumerLimits.ttlMs.max) * 1_000n + 60_000_000n;

/** A consumer as one snapshot sees it, with its stream. Times are microseconds. */
export interface ConsumerState {
  readonly streamId: number;
  readonly head: StreamHead;
  /** The database's clock. */
  readonly now: bigint;
  /** Undefined: the stream has no such consumer. */
  readonly consumer:
    | { readonly consumerId: bigint; readonly createdAt: bigint; readonly shards: readonly ShardState[] }
    | undefined;
}

export interface ShardState {
  readonly shard: number;
  /** The committed cursor. */
  readonly epoch: number;
  readonly position: Position;
  readonly generation: bigint;
  /** Who had it last, and until when; null: it was given back, or never taken. */
  readonly member: string | null;
  readonly expiresAt: bigint | null;
}

/** A committed cursor in the making. */
export interface Place {
  readonly epoch: number;
  readonly position: Position;
}

export interface NewConsumer extends Place {
  readonly streamId: number;
  readonly name: string;
  readonly shards: number;
  /** Most consumers of the stream. */
  readonly consumersMax: number;
}

export interface ConsumerSummaryRow {
  readonly name: string;
  readonly createdAt: bigint;
  readonly shards: number;
  readonly leased: number;
  /** Microseconds; negative above the watermark. */
  readonly behind: bigint;
}

/** Consumers in the database: each of these is a statement, or a transaction of its own. */
export interface ConsumerStore {
  /** Undefined: there is no such stream. */
  read(stream: string, name: string): Promise<ConsumerState | undefined>;
  /** The consumers of a stream by name. Undefined: there is no such stream. */
  list(stream: string): Promise<readonly ConsumerSummaryRow[] | undefined>;
  /**
   * Makes a consumer whose shards all begin at one place, unless there is one of that name. False: it would be one too many, or its
   * stream is gone.
   */
  create(consumer: NewConsumer): Promise<boolean>;
  /** False: it was not there. */
  remove(consumerId: bigint): Promise<boolean>;
  /**
   * Commits a cursor if the shard is still as it was seen: the same tenure and the same committed cursor. False: it is not, so look
   * again. So nothing is locked between looking and writing, and a collector that stops in between stops nobody else.
   */
  move(consumerId: bigint, seen: ShardState, place: Place): Promise<boolean>;
  /** Moves shards anywhere, and ends their leases. `shard` undefined: all of them. */
  seek(consumerId: bigint, shard: number | undefined, place: Place): Promise<void>;
}

export function createConsumerStore(sql: Sql): ConsumerStore {
  return {
    read: (stream, name) => readConsumer(sql, stream, name),
    list: (stream) => listConsumers(sql, stream),
    create: (consumer) => createConsumer(sql, consumer),
    remove: (consumerId) => deleteConsumer(sql, consumerId),
    move: (consumerId, seen, place) => moveCursor(sql, consumerId, seen, place),
    seek: (consumerId, shard, place) => seekShards(sql, consumerId, shard, place),
  };
}

async function readConsumer(sql: Sql, stream: string, name: string): Promise<ConsumerState | undefined> {
  const rows = await sql<ConsumerRow[]>`
    select s.stream_id, s.identity, s.epoch, s.epoch_start, s.retained_mark,
      tidemark.watermark(s, f.published) as watermark, tidemark.clock() as now, c.consumer_id, c.created_at,
      h.shard, h.epoch as cursor_epoch, h.order_time, h.seq, h.generation, h.member, h.expires_at
    from tidemark.streams s
    cross join tidemark.fence f
    left join tidemark.consumers c on c.stream_id = s.stream_id and c.name = ${name}
    left join tidemark.consumer_shards h on h.consumer_id = c.consumer_id
    where s.name = ${stream}
    order by h.shard`;
  const [first] = rows;
  if (first === undefined) return undefined;
  const { stream_id: streamId, identity, epoch, watermark, now } = first;
  const { epoch_start: epochStart, retained_mark: retainedMark } = first;
  const head = { identity, epoch, epochStart, retainedMark, watermark };
  const consumer =
    first.consumer_id === null
      ? undefined
      : { consumerId: first.consumer_id, createdAt: first.created_at, shards: rows.map(shardOf) };
  return { streamId, head, now, consumer };
}

async function createConsumer(sql: Sql, consumer: NewConsumer): Promise<boolean> {
  const { streamId, name, shards, epoch, position, consumersMax } = consumer;
  return sql.begin(async (transaction) => {
    // One at a time for each stream, so that their number stays below the limit; then counted in a statement of its own.
    await transaction`select pg_advisory_xact_lock(1953064294, ${streamId})`;
    const stream =
      await transaction`select from tidemark.streams where stream_id = ${streamId} for key share`;
    if (stream.length === 0) return false;
    const [made] = await transaction<{ consumer_id: bigint }[]>`
      insert into tidemark.consumers (stream_id, name, shards)
      select ${streamId}::integer, ${name}::text, ${shards}::smallint
      where (select count(*) from tidemark.consumers where stream_id = ${streamId}) < ${consumersMax}::integer
      on conflict do nothing
      returning consumer_id`;
    if (made === undefined) {
      const found = await transaction`
        select from tidemark.consumers where stream_id = ${streamId} and name = ${name}`;
      return found.length > 0;
    }
    await transaction`
      insert into tidemark.consumer_shards (consumer_id, shard, epoch, order_time, seq)
      select ${made.consumer_id}::bigint, shard, ${epoch}::integer, ${position.orderTime}::bigint, ${position.seq}::bigint
      from generate_series(0, ${shards - 1}::integer) shard`;
    return true;
  });
}

async function listConsumers(sql: Sql, stream: string): Promise<readonly ConsumerSummaryRow[] | undefined> {
  const rows = await sql<SummaryRow[]>`
    select c.name, c.created_at, c.shards, count(*) filter (
        where h.expires_at > tidemark.clock() and h.expires_at <= tidemark.clock() + ${leaseMicrosMax}::bigint)::integer as leased,
      tidemark.watermark(s, f.published)
        - min(case when h.epoch < s.epoch then least(h.order_time, s.epoch_start) else h.order_time end) as behind
    from tidemark.streams s
    cross join tidemark.fence f
    left join tidemark.consumers c on c.stream_id = s.stream_id
    left join tidemark.consumer_shards h on h.consumer_id = c.consumer_id
    where s.name = ${stream}
    group by s.stream_id, f.one, c.consumer_id
    order by c.name`;
  if (rows.length === 0) return undefined;
  return rows
    .filter((row) => row.name !== null)
    .map(({ name, created_at: createdAt, shards, leased, behind }) => {
      return { name, createdAt, shards, leased, behind };
    });
}

async function deleteConsumer(sql: Sql, consumerId: bigint): Promise<boolean> {
  const gone = await sql`delete from tidemark.consumers where consumer_id = ${consumerId} returning name`;
  return gone.length > 0;
}

async function moveCursor(sql: Sql, consumerId: bigint, seen: ShardState, place: Place): Promise<boolean> {
  const moved = await sql`
    update tidemark.consumer_shards
    set epoch = ${place.epoch}, order_time = ${place.position.orderTime}, seq = ${place.position.seq}
    where consumer_id = ${consumerId} and shard = ${seen.shard} and generation = ${seen.generation}
      and epoch = ${seen.epoch} and order_time = ${seen.position.orderTime} and seq = ${seen.position.seq}
    returning shard`;
  return moved.length > 0;
}

async function seekShards(
  sql: Sql,
  consumerId: bigint,
  shard: number | undefined,
  place: Place,
): Promise<void> {
  await sql`
    update tidemark.consumer_shards h
    set epoch = ${place.epoch}, order_time = ${place.position.orderTime}, seq = ${place.position.seq},
      generation = tidemark.next_generation(h.generation), member = null, expires_at = null
    from (
      -- In one order for everybody.
      select l.shard from tidemark.consumer_shards l
      where l.consumer_id = ${consumerId} and l.shard = coalesce(${shard ?? null}::smallint, l.shard)
      order by l.shard for update
    ) locked
    where h.consumer_id = ${consumerId} and h.shard = locked.shard`;
}

interface ConsumerRow extends ShardRow {
  readonly stream_id: number;
  readonly identity: bigint;
  readonly epoch: number;
  readonly epoch_start: bigint;
  readonly retained_mark: bigint;
  readonly watermark: bigint;
  readonly now: bigint;
  readonly consumer_id: bigint | null;
  readonly created_at: bigint;
}

export interface ShardRow {
  readonly shard: number;
  readonly cursor_epoch: number;
  readonly order_time: bigint;
  readonly seq: bigint;
  readonly generation: bigint;
  readonly member: string | null;
  readonly expires_at: bigint | null;
}

interface SummaryRow {
  readonly name: string;
  readonly created_at: bigint;
  readonly shards: number;
  readonly leased: number;
  readonly behind: bigint;
}

export function shardOf(row: ShardRow): ShardState {
  const { shard, cursor_epoch: epoch, order_time: orderTime, seq, generation, member } = row;
  return { shard, epoch, position: { orderTime, seq }, generation, member, expiresAt: row.expires_at };
}
