import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { leaveAfterMicros } from '../../collector/src/store/leaving-partitions.ts';
import { eventually } from '../harness/eventually.ts';
import { partitionOf } from '../harness/past-partitions.ts';
import type { Bench, BenchCollector } from './bench.ts';
import type { Measurement } from './figure.ts';
import type { Sent } from './generate.ts';
import type { Grown } from './grown.ts';
import { putSettings } from './ingest.ts';
import { makeLoad, writeLoad } from './load.ts';
import { percentile } from './statistics.ts';

const oldStream = 'bench-old';
const dayMs = 86_400_000;
/** Its partition: all that is in it is older than retention lets it be. */
const ageDays = 3;
/** Of the load around the drop. */
const beforeMs = 8_000;
const afterMs = 12_000;
/** What is dropped may still be felt after it is gone. */
const aftermathMs = 1_000;

const lookMs = 20;
const dropMsMax = 60_000;

/** Fills a partition of the past with a stream of its own, that can then be dropped. */
export async function fillPast(bench: Bench, { collector }: Grown, events: number): Promise<void> {
  const { generator, load, folder } = bench;
  const { eventsPerBatch } = load;
  const startMs = startOfPast();
  const batches = load.bodies.length;
  const old = makeLoad({ batches, eventsPerBatch, startMs, stream: oldStream });
  const file = join(folder, 'old.ndjson');
  await writeLoad(old, file);
  await putSettings(collector, oldStream, { watermarkDelayMs: (ageDays + 1) * dayMs });
  await generator.load(file);
  await generator.send({
    url: collector.url,
    key: collector.keys.write,
    connections: 16,
    batches: Math.ceil(events / eventsPerBatch),
    eventsPerBatch,
    fresh: { ids: 'ordered', startMs },
  });
  // Its watermark, above which nothing goes, comes up to the present.
  await putSettings(collector, oldStream, { watermarkDelayMs: 0 });
  await bench.giveLoad();
}

/** Lets retention take that partition while the other stream grows as fast as it can. */
export async function measureDrop(bench: Bench, grown: Grown): Promise<Measurement> {
  const { collector, databaseUrl } = grown;
  const looks = connect(databaseUrl, 'tidemark bench looks', 1, {});
  try {
    await expire(collector, looks);
    const growing = grown.grow({ seconds: (beforeMs + afterMs) / 1_000 });
    await sleep(beforeMs);
    const dropping = watchDrop(looks);
    // The upkeep comes at once when a retention is set.
    await putSettings(collector, oldStream, { retentionDays: 1 });
    const drop = await dropping;
    const { sent } = await growing;
    return compare(sent, drop, bench.load.eventsPerBatch);
  } finally {
    await looks.end();
  }
}

/** Comes back when the partition is about to be as long out of use as it must be before it may go. */
async function expire(collector: BenchCollector, sql: Sql): Promise<void> {
  await putSettings(collector, oldStream, { retentionDays: 1 });
  await eventually(
    'the partition of the past is noted',
    async () => {
      const [noted] = await sql`select from tidemark.leaving_partitions where partition = ${partition()}`;
      return noted !== undefined;
    },
    120_000,
  );
  await sleep(Number(leaveAfterMicros) / 1_000 - beforeMs + lookMs);
}

interface Drop {
  /** By the clock, milliseconds: closed to new events, and gone. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Of its table and index. */
  readonly bytes: number;
}

async function watchDrop(sql: Sql): Promise<Drop> {
  const look = async (): Promise<{ readonly closed: boolean; readonly bytes: number | null }> => {
    const [row] = await sql<[{ closed: boolean; bytes: number | null }]>`
      select pg_total_relation_size(c.oid)::float8 as bytes,
        exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'closed') as closed
      from (select to_regclass(${`tidemark.${partition()}`}) as oid) c`;
    return row;
  };
  const { bytes } = await look();
  let fromMs: number | undefined;
  const deadline = performance.now() + dropMsMax;
  for (;;) {
    const seen = await look();
    const nowMs = Date.now();
    if (seen.closed || seen.bytes === null) fromMs ??= nowMs;
    if (seen.bytes === null) return { fromMs: fromMs ?? nowMs, toMs: nowMs, bytes: bytes ?? 0 };
    if (performance.now() > deadline) throw new Error('the partition of the past is not dropped');
    await sleep(lookMs);
  }
}

function compare(sent: Sent, drop: Drop, eventsPerBatch: number): Measurement {
  const endMs = drop.toMs + aftermathMs;
  const firstMs = Math.min(...sent.answeredAtMs);
  const lastMs = Math.max(...sent.answeredAtMs);
  if (drop.fromMs < firstMs || endMs > lastMs) throw new Error('the load did not go on around the drop');
  const during: number[] = [];
  const without: number[] = [];
  sent.tookMs.forEach((ms, at) => {
    const answeredMs = sent.answeredAtMs[at] ?? Number.NaN;
    (answeredMs >= drop.fromMs && answeredMs - ms <= endMs ? during : without).push(ms);
  });
  const rate = (batches: number, ms: number) => (batches * eventsPerBatch) / (ms / 1_000);
  const duringMs = endMs - drop.fromMs;
  const [rateDuring, rateWithout] = [
    rate(during.length, duringMs),
    rate(without.length, lastMs - firstMs - duringMs),
  ];
  const [p99During, p99Without] = [percentile(during, 0.99), percentile(without, 0.99)];
  return {
    'events/s during ÷ without': rateDuring / rateWithout,
    'ms p99 of a batch during ÷ without': p99During / p99Without,
    'events/s during': rateDuring,
    'events/s without': rateWithout,
    'ms p99 of a batch during': p99During,
    'ms p99 of a batch without': p99Without,
    'ms longest batch during': Math.max(...during),
    'ms longest batch without': Math.max(...without),
    'ms until it was gone': drop.toMs - drop.fromMs,
    'MiB that went': drop.bytes / 2 ** 20,
  };
}

function partition(): string {
  return partitionOf(BigInt(startOfPast()) * 1_000n);
}

/** Noon of that day. */
function startOfPast(): number {
  return (Math.floor(Date.now() / dayMs) - ageDays) * dayMs + dayMs / 2;
}
