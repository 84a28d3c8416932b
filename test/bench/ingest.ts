import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { paths } from '@tidemark/core/wire';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import type { Bench, BenchCollector } from './bench.ts';
import { type Copier, createCopier, exportRows } from './copy.ts';
import { type CpuMeter, measureEvents } from './cpu.ts';
import type { Measurement } from './figure.ts';
import { type Load, writeLoad } from './load.ts';
import { type AppendVariant, createAppendSwitch, emptyTables } from './postgres.ts';

/** A collector and its database, ready to take the load again and again: each time into empty tables. */
export interface Ingest {
  readonly collector: BenchCollector;
  readonly sql: Sql;
  /** The load over HTTP, as fast as it is answered. */
  overHttp(variant: AppendVariant): Promise<Measurement>;
  /** The rows that the load becomes, by COPY into the same tables. */
  byCopy(variant: AppendVariant): Promise<Measurement>;
  /** What copies. */
  readonly copier: string;
  close(): Promise<void>;
}

const connections = 16;
/** Longer than the load is old: each event has its own time, and is not moved to its arrival. */
export const watermarkDelayMs = 86_400_000;
const warmUpRounds = 2;

export const eventColumns =
  'order_time, seq, event_time, received_at, occurred_at, sent_at, stream_id, bytes, time_quality, id, name, key, props';
export const claimColumns = 'order_time, seq, claim, stream_id, claimed_on';

export interface IngestOptions {
  /** More variables of the collector. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Instead of the bench's. */
  readonly load?: Load;
}

export async function createIngest(
  bench: Bench,
  { environment, load = bench.load }: IngestOptions = {},
): Promise<Ingest> {
  const { generator, postgres } = bench;
  const folder = await mkdtemp(join(bench.folder, 'ingest-'));
  const bodiesFile = join(folder, 'bodies.ndjson');
  await writeLoad(load, bodiesFile);
  const databaseUrl = await postgres.createDatabase();
  const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
  const collector = await bench.startCollector(databaseUrl, environment);
  await putStream(collector, load.stream, watermarkDelayMs);
  const useAppend = await createAppendSwitch(sql);
  const copier = await createCopier(databaseUrl);
  const files = { events: join(folder, 'events.copy'), claims: join(folder, 'claims.copy') };

  const { keys, url } = collector;
  const { eventsPerBatch, bodies } = load;
  const order = { url, key: keys.write, connections, batches: bodies.length, eventsPerBatch };

  async function overHttp(variant: AppendVariant): Promise<Measurement> {
    await useAppend(variant);
    await generator.load(bodiesFile);
    await emptyTables(sql);
    const meters = { collector: collector.cpu, Postgres: postgres.cpu, generator: generator.cpu };
    const { measured } = await measureEvents(load.events, meters, () => generator.send(order));
    await expectRows(variant);
    return measured;
  }

  async function byCopy(variant: AppendVariant): Promise<Measurement> {
    await emptyTables(sql);
    const events = { table: `tidemark.events (${eventColumns})`, file: files.events };
    const claims = { table: `tidemark.claims (${claimColumns})`, file: files.claims };
    const parts = variant === 'as it is' ? [claims, events] : [events];
    const meters = copyMeters(copier, postgres.cpu);
    const { measured } = await measureEvents(load.events, meters, () => copier.copy(parts));
    await expectRows(variant);
    return measured;
  }

  async function expectRows(variant: AppendVariant): Promise<void> {
    const [found] = await sql<{ events: bigint; claims: bigint }[]>`
      select (select count(*) from tidemark.events) as events, (select count(*) from tidemark.claims) as claims`;
    const expected = variant === 'as it is' ? load.events : 0;
    if (Number(found?.events) !== load.events || Number(found?.claims) !== expected)
      throw new Error(
        `${load.events} events ${variant}: the tables have ${found?.events} and ${found?.claims} claims`,
      );
  }

  for (let round = 0; round < warmUpRounds; round += 1) await overHttp('as it is');
  await exportRows(databaseUrl, `select ${eventColumns} from tidemark.events order by seq`, files.events);
  await exportRows(databaseUrl, `select ${claimColumns} from tidemark.claims`, files.claims);

  return {
    collector,
    sql,
    overHttp,
    byCopy,
    copier: copier.program,
    async close() {
      await collector.stop();
      await copier.close();
      await sql.end();
    },
  };
}

/** Makes a stream, or changes how long it waits. */
export function putStream(collector: BenchCollector, stream: string, delayMs: number): Promise<void> {
  return putSettings(collector, stream, { watermarkDelayMs: delayMs });
}

/** Makes a stream, or changes it. */
export async function putSettings(
  { url, keys }: BenchCollector,
  stream: string,
  settings: { readonly watermarkDelayMs?: number; readonly retentionDays?: number },
): Promise<void> {
  const response = await fetch(new URL(paths.stream(stream), url), {
    method: 'PUT',
    headers: { authorization: `Bearer ${keys.admin}`, 'content-type': 'application/json' },
    body: JSON.stringify(settings),
  });
  if (!response.ok) throw new Error(`PUT ${stream}: ${response.status} ${await response.text()}`);
}

export function copyMeters({ cpu }: Copier, postgres: CpuMeter): Readonly<Record<string, CpuMeter>> {
  return cpu === undefined ? { Postgres: postgres } : { Postgres: postgres, psql: cpu };
}
