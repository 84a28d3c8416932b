import { connect, type Sql } from '../../collector/src/store/database.ts';
import { makePast } from '../harness/past-partitions.ts';
import type { Bench, BenchCollector } from './bench.ts';
import { measureEvents } from './cpu.ts';
import type { Measurement } from './figure.ts';
import type { Fresh } from './fresh.ts';
import type { Sent } from './generate.ts';
import { putStream } from './ingest.ts';
import { percentile } from './statistics.ts';

/** A collector and its database, whose stream takes more and more events, each of them of the moment in which it is sent. */
export interface Grown {
  readonly collector: BenchCollector;
  readonly databaseUrl: string;
  readonly sql: Sql;
  readonly stream: string;
  /** By as many whole batches as make at least so many events, or for so long, as fast as they are answered. */
  grow(by: { readonly events: number } | { readonly seconds: number }): Promise<Growing>;
  close(): Promise<void>;
}

export interface Growing {
  readonly sent: Sent;
  readonly measured: Measurement;
}

const connections = 16;
/** Longer than a batch ever waits here, so that events are in the order of their own times. */
const grownDelayMs = 2_000;
/** Whole days before today that have partitions. */
const pastDays = 4;

export async function createGrown(bench: Bench, ids: Fresh['ids']): Promise<Grown> {
  const { generator, load, postgres } = bench;
  const databaseUrl = await postgres.createDatabase();
  const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
  await makePast(sql, pastDays);
  const collector = await bench.startCollector(databaseUrl);
  const { url, keys } = collector;
  await putStream(collector, load.stream, grownDelayMs);

  async function grow(by: { readonly events: number } | { readonly seconds: number }): Promise<Growing> {
    const { eventsPerBatch } = load;
    const much =
      'events' in by
        ? { batches: Math.ceil(by.events / eventsPerBatch) }
        : { batches: Number.MAX_SAFE_INTEGER, secondsMax: by.seconds };
    const order = { url, key: keys.write, connections, eventsPerBatch, fresh: { ids }, ...much };
    const meters = { collector: collector.cpu, Postgres: postgres.cpu, generator: generator.cpu };
    const before = await readWal(sql);
    const { result: sent, measured } = await measureEvents(
      ({ events }) => events,
      meters,
      () => generator.send(order),
    );
    const after = await readWal(sql);
    const p99 = { 'ms p99 of a batch': percentile(sent.tookMs, 0.99) };
    const wal = { 'WAL bytes/event': (after - before) / sent.events };
    return { sent, measured: { ...measured, ...p99, ...wal } };
  }

  return {
    collector,
    databaseUrl,
    sql,
    stream: load.stream,
    grow,
    async close() {
      await collector.stop();
      await sql.end();
    },
  };
}

/** How much has been written to the write-ahead log, bytes. */
async function readWal(sql: Sql): Promise<number> {
  const [row] = await sql<[{ bytes: number }]>`select (pg_current_wal_insert_lsn() - '0/0')::float8 as bytes`;
  return row.bytes;
}
