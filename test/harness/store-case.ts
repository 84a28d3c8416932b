// A database of a test's own, and what tests of the store do with it.

import { type Advancer, createAdvancer } from '../../collector/src/store/advance.ts';
import { type AppendRow, appendRows } from '../../collector/src/store/append.ts';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { createTestDatabase } from './postgres.ts';

/** A migrated database, with connections that end with it. */
export interface StoreCase {
  readonly url: string;
  /** A few connections, for everything that is not under test. */
  readonly sql: Sql;
  /** More connections, with the settings that the collector uses. */
  connect(connections: number, settings?: Record<string, string | number>): Sql;
  /** A stream with this watermark delay, in microseconds. */
  makeStream(name: string, delay: bigint): Promise<number>;
  append(streamId: number, rows: readonly AppendRow[]): Promise<readonly number[]>;
  watermark(streamId: number): Promise<bigint>;
  /** Takes the clock of the database into the test's hand: from now on it says this, until it is set again. */
  setClock(micros: bigint): Promise<void>;
  close(): Promise<void>;
}

export async function createStoreCase(): Promise<StoreCase> {
  const database = await createTestDatabase();
  const pools: Sql[] = [];
  let taken = false;
  const open = (connections: number, settings: Record<string, string | number> = {}): Sql => {
    const pool = connect(database.url, 'test', connections, settings);
    pools.push(pool);
    return pool;
  };
  const sql = open(4, { idle_in_transaction_session_timeout: 0 });
  return {
    url: database.url,
    sql,
    connect: open,
    async makeStream(name, delay) {
      const [row] = await sql<[{ stream_id: number }]>`
        insert into tidemark.streams (name, watermark_delay) values (${name}, ${delay}) returning stream_id`;
      return row.stream_id;
    },
    append: (streamId, rows) =>
      appendRows(
        sql,
        rows,
        Array.from(rows, () => streamId),
      ),
    async watermark(streamId) {
      const [row] = await sql<[{ watermark: bigint }]>`
        select tidemark.watermark(s, f.published) as watermark
        from tidemark.streams s, tidemark.fence f where s.stream_id = ${streamId}`;
      return row.watermark;
    },
    async setClock(micros) {
      if (taken) await sql`update public.clock set micros = ${micros}`;
      else await takeClock(sql, micros);
      taken = true;
    },
    async close() {
      await Promise.all(pools.map((pool) => pool.end({ timeout: 1 })));
      await database.drop();
    },
  };
}

async function takeClock(sql: Sql, micros: bigint): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`create table public.clock (micros bigint)`;
    await transaction`insert into public.clock values (${micros})`;
    await transaction`
      create or replace function tidemark.clock() returns bigint language sql volatile parallel safe
      as 'select micros from public.clock'`;
  });
}

/** A transaction that has taken the lock of a stream and goes on until it is told to end. */
export interface Holder {
  /** Appends within the transaction. */
  append(rows: readonly AppendRow[]): Promise<readonly number[]>;
  /** Rejects when the transaction was ended from outside. */
  commit(): Promise<void>;
}

/** Takes the lock of a stream as an append does, in a transaction that stays open. It needs a connection of its own. */
export function holdStream(sql: Sql, streamId: number): Promise<Holder> {
  return new Promise((resolve, reject) => {
    const ended = sql.begin(async (transaction) => {
      await transaction`select pg_advisory_xact_lock_shared(1953064291, ${streamId})`;
      await new Promise<void>((end) => {
        resolve({
          append: (rows) =>
            appendRows(
              transaction as unknown as Sql,
              rows,
              Array.from(rows, () => streamId),
            ),
          async commit() {
            end();
            await ended;
          },
        });
      });
    });
    ended.catch(reject);
  });
}

/** An advancer that looks at holders once and does not wait for them; its own clock says what the test says. */
export function createTestAdvancer(sql: Sql, witness: () => bigint): Advancer {
  return createAdvancer(sql, {
    wallMicros: witness,
    monotonicMs: () => 0,
    sleep: () => Promise.resolve(),
    drainMs: 0,
    staleHolderMs: 10_000,
  });
}

let claims = 0;

/** An event with an id of its own. */
export function createRow(change: Partial<AppendRow> = {}): AppendRow {
  claims += 1;
  const claim = `00000000-0000-7000-8000-${claims.toString(16).padStart(12, '0')}`;
  return {
    stream: 'any',
    claim,
    id: claim,
    name: 'thing.happened',
    key: null,
    props: null,
    occurredAt: null,
    sentAt: null,
    receivedAt: 0n,
    eventTime: 0n,
    timeQuality: 6,
    ip: null,
    userAgent: null,
    ...change,
  };
}
