import { join } from 'node:path';
import { formatTime, paths, type WindowsPage } from '@tidemark/core/wire';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { type PanesRequest, readPanes } from '../../collector/src/store/windows.ts';
import type { BenchCollector } from './bench.ts';
import { measureEvents, ownMeter } from './cpu.ts';
import type { Case, Figure, Measurement } from './figure.ts';
import { putStream, watermarkDelayMs } from './ingest.ts';
import { makeLoad, writeLoad } from './load.ts';

const eventsPerBatch = 500;
const batches = 200;
const sizeSeconds = 10;
const sizeMicros = BigInt(sizeSeconds) * 1_000_000n;
const repliesEach = 5;
const readableMsMax = 30_000;

const groupings = [
  { name: 'by name', groupBy: 'name', column: 'name' },
  { name: 'by key', groupBy: 'key', column: 'key' },
  { name: 'by a place in the props', groupBy: { path: ['referrer'] }, column: "props ->> 'referrer'" },
] as const;

type Grouped = (typeof groupings)[number];

/** Counts and sums that come over HTTP, against what Postgres takes for them. */
export const windows: Figure = {
  name: 'windows',
  title: `counts and sums by windows of ${sizeSeconds} s over HTTP, against the same GROUP BY through the driver`,
  async prepare(bench) {
    const { generator, postgres, folder } = bench;
    // A batch each second, and all of them over.
    const startMs = Math.floor(Date.now() / 600_000) * 600_000 - 3_600_000;
    const load = makeLoad({ batches, eventsPerBatch, startMs, apartMs: 1_000 });
    const file = join(folder, 'windows.ndjson');
    await writeLoad(load, file);
    await generator.load(file);
    const databaseUrl = await postgres.createDatabase();
    const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
    const collector = await bench.startCollector(databaseUrl);
    await putStream(collector, load.stream, watermarkDelayMs);
    const order = { url: collector.url, key: collector.keys.write, connections: 16, batches, eventsPerBatch };
    await generator.send(order);
    await putStream(collector, load.stream, 0);
    await sql`vacuum analyze tidemark.events`;
    const [stream] = await sql<[{ id: number }]>`
      select stream_id as id from tidemark.streams where name = ${load.stream}`;
    const from = BigInt(startMs) * 1_000n;
    const to = from + BigInt(batches + sizeSeconds) * 1_000_000n;
    const target = { collector, sql, stream: load.stream, streamId: stream.id, from, to };
    await waitUntilComplete(target);

    const meters = { collector: collector.cpu, Postgres: postgres.cpu, 'this process': ownMeter };
    const casesOf = (grouped: Grouped): Case[] =>
      Object.entries({ HTTP: overHttp, driver: throughDriver, 'plain GROUP BY': plainly }).map(
        ([way, count]) => ({
          name: `${grouped.name}: ${way}`,
          async measure(): Promise<Measurement> {
            const { result, measured } = await measureEvents(repliesEach * load.events, meters, () =>
              repeat(() => count(target, grouped)),
            );
            if (result !== repliesEach * load.events)
              throw new Error(`${grouped.name}: ${way} counts ${result / repliesEach} events`);
            return measured;
          },
        }),
      );
    return {
      cases: groupings.flatMap(casesOf),
      ratios: groupings.flatMap(({ name }) => [
        { of: `${name}: HTTP`, to: `${name}: driver` },
        { of: `${name}: HTTP`, to: `${name}: plain GROUP BY` },
      ]),
      notes: [
        'by name and by a place in the props: four groups; by key: almost every event of a window is a group of its own',
        `${load.events.toLocaleString('en')} events, ${repliesEach} replies a round, each of all ${batches / sizeSeconds} windows with the sum of a price; driver: the collector's own statement; plain: as one would write it, without panes of late events and without care for what is no number`,
      ],
      async close() {
        await collector.stop();
        await sql.end();
      },
    };
  },
};

interface Target {
  readonly collector: BenchCollector;
  readonly sql: Sql;
  readonly stream: string;
  readonly streamId: number;
  /** Order times, microseconds. */
  readonly from: bigint;
  readonly to: bigint;
}

/** How many events were counted. */
async function repeat(count: () => Promise<number>): Promise<number> {
  let events = 0;
  for (let reply = 0; reply < repliesEach; reply += 1) events += await count();
  return events;
}

async function overHttp(target: Target, { groupBy }: Pick<Grouped, 'groupBy'>): Promise<number> {
  const by = typeof groupBy === 'string' ? groupBy : `props.${groupBy.path.join('.')}`;
  let events = 0;
  let start = `from=${formatTime(target.from)}`;
  for (;;) {
    const page = await readWindows(target, `size=${sizeSeconds}s&groupBy=${by}&sum=props.price&${start}`);
    for (const window of page.windows)
      if ('panes' in window) for (const { count } of window.panes) events += count;
    const last = page.windows.at(-1);
    if (last === undefined || last.end >= formatTime(target.to)) return events;
    start = `cursor=${page.nextCursor}`;
  }
}

async function throughDriver({ sql, streamId, from, to }: Target, { groupBy }: Grouped): Promise<number> {
  const panesMax = 10_000;
  const request: PanesRequest = {
    streamId,
    sizeMicros,
    from,
    to,
    groupBy,
    sum: ['price'],
    skip: 0,
    limit: panesMax * batches,
  };
  const panes = await readPanes(sql, request);
  return panes.reduce((events, { count }) => events + Number(count), 0);
}

async function plainly({ sql, streamId, from, to }: Target, { column }: Grouped): Promise<number> {
  const rows = await sql.unsafe<{ count: bigint }[]>(
    `select order_time / ${sizeMicros} as start, ${column} as grouped, count(*) as count, sum((props ->> 'price')::numeric) as sum
    from tidemark.events where stream_id = $1 and order_time >= $2::bigint and order_time < $3::bigint
    group by 1, 2 order by 1, 2`,
    [streamId, from.toString(), to.toString()],
    { prepare: true },
  );
  return rows.reduce((events, { count }) => events + Number(count), 0);
}

async function waitUntilComplete(target: Target): Promise<void> {
  const deadline = performance.now() + readableMsMax;
  for (;;) {
    const page = await readWindows(target, `size=${sizeSeconds}s&limit=1&from=${formatTime(target.from)}`);
    if (page.completeThrough >= formatTime(target.to)) return;
    if (performance.now() > deadline) throw new Error('the windows do not become complete');
  }
}

async function readWindows({ collector, stream }: Target, query: string): Promise<WindowsPage> {
  const { url, keys } = collector;
  const answer = await fetch(new URL(`${paths.streamWindows(stream)}?${query}`, url), {
    headers: { authorization: `Bearer ${keys.read}` },
  });
  if (!answer.ok) throw new Error(`${query}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as WindowsPage;
}
