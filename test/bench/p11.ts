import { join } from 'node:path';
import { type PageEnd, paths } from '@tidemark/core/wire';
import { connect } from '../../collector/src/store/database.ts';
import type { Bench, BenchCollector } from './bench.ts';
import { familyMeter, measureEvents } from './cpu.ts';
import type { Figure, Measurement } from './figure.ts';
import { type Generator, startGenerator } from './generate.ts';
import { putStream } from './ingest.ts';
import { writeLoad } from './load.ts';
import { emptyTables } from './postgres.ts';

/** Of each of the two generators. */
const connections = 8;
const warmUpRounds = 2;
/** So long after the last acknowledgement the reader may take for what is left. */
const restMsMax = 60_000;

/**
 * A second collector on the same database: the load of P1, half of it from each of two generators, on one and on two collectors, and on two workers that share
 * a port. A reader follows the stream meanwhile and looks for every event that was acknowledged, once.
 */
export const p11: Figure = {
  name: 'P11',
  title:
    'durable ingest of batches on two collector processes, against one, while a reader follows the stream',
  async prepare(bench) {
    const { load, postgres } = bench;
    const databaseUrl = await postgres.createDatabase();
    const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
    const one = await bench.startCollector(databaseUrl);
    const other = await bench.startCollector(databaseUrl);
    const workers = await bench.startCollector(databaseUrl, { TIDEMARK_WORKERS: '2' });
    const collectors = [one, other, workers];
    await putStream(one, load.stream, 0);
    const { generators, stopSecond } = await startHalves(bench);

    async function measure(first: BenchCollector, second: BenchCollector): Promise<Measurement> {
      await emptyTables(sql);
      const reader = await startReader(first, load.stream, load.events);
      const meters = {
        collectors: async () => sum(await Promise.all(collectors.map(({ pid }) => familyMeter(pid)()))),
        Postgres: postgres.cpu,
        generators: async () => sum(await Promise.all(generators.map(({ generator }) => generator.cpu()))),
      };
      const sendAll = () =>
        Promise.all(
          generators.map(({ generator, batches }, at) => {
            const { url, keys } = at === 0 ? first : second;
            const { eventsPerBatch } = load;
            return generator.send({ url, key: keys.write, connections, batches, eventsPerBatch });
          }),
        );
      try {
        const { measured } = await measureEvents(load.events, meters, sendAll);
        return { ...measured, ...(await reader.end()) };
      } finally {
        reader.stop();
      }
    }

    const cases = [
      { name: 'one collector', measure: () => measure(one, one) },
      { name: 'two collectors', measure: () => measure(one, other) },
      { name: 'two workers', measure: () => measure(workers, workers) },
    ];
    for (let round = 0; round < warmUpRounds; round += 1) for (const one of cases) await one.measure();
    return {
      cases,
      ratios: [
        { of: 'two collectors', to: 'one collector', atLeast: 1 },
        { of: 'two workers', to: 'one collector' },
      ],
      bounds: cases.flatMap(({ name }) =>
        ['skipped', 'repeated'].map((value) => ({ case: name, value, atMost: 0 })),
      ),
      notes: [
        `${load.events.toLocaleString('en')} events in batches of ${load.eventsPerBatch} from two generators with ${connections} connections each; watermark delay 0`,
      ],
      async close() {
        await stopSecond();
        for (const collector of collectors) await collector.stop();
        await sql.end();
      },
    };
  },
};

interface Half {
  readonly generator: Generator;
  readonly batches: number;
}

async function startHalves(
  bench: Bench,
): Promise<{ generators: readonly Half[]; stopSecond: () => Promise<void> }> {
  const { load, folder } = bench;
  const second = startGenerator();
  const middle = Math.ceil(load.bodies.length / 2);
  const halves = [load.bodies.slice(0, middle), load.bodies.slice(middle)];
  const generators = await Promise.all(
    [bench.generator, second].map(async (generator, at) => {
      const bodies = halves[at] ?? [];
      const file = join(folder, `half-${at}.ndjson`);
      await writeLoad({ ...load, bodies }, file);
      await generator.load(file);
      return { generator, batches: bodies.length };
    }),
  );
  return { generators, stopSecond: () => second.stop() };
}

interface Reader {
  /** Waits until it has every event, or for a minute. */
  end(): Promise<{ readonly skipped: number; readonly repeated: number }>;
  stop(): void;
}

/** Follows a stream from now on, as lines, and counts how often each id comes. */
async function startReader({ url, keys }: BenchCollector, stream: string, events: number): Promise<Reader> {
  const seen = new Set<string>();
  let repeated = 0;
  let failure: unknown;
  const stopped = new AbortController();

  async function page(query: string): Promise<string> {
    const response = await fetch(new URL(`${paths.streamEvents(stream)}?${query}`, url), {
      headers: { authorization: `Bearer ${keys.read}`, accept: 'application/x-ndjson' },
      signal: stopped.signal,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    for (const [, id = ''] of text.matchAll(/^\{"id":"([^"]+)"/gm)) {
      if (seen.has(id)) repeated += 1;
      seen.add(id);
    }
    const end = JSON.parse(text.slice(text.lastIndexOf('\n', text.length - 2) + 1)) as Partial<PageEnd>;
    if (end.nextCursor === undefined) throw new Error(JSON.stringify(end));
    return end.nextCursor;
  }

  async function follow(start: string): Promise<void> {
    for (let cursor = start; seen.size < events; )
      cursor = await page(`cursor=${cursor}&wait=5&limit=10000&maxBytes=16777216`);
  }

  const following = follow(await page('from=latest')).catch((error: unknown) => {
    if (!stopped.signal.aborted) failure = error;
  });
  return {
    stop: () => stopped.abort(),
    async end() {
      const deadline = setTimeout(() => stopped.abort(), restMsMax);
      await following;
      clearTimeout(deadline);
      if (failure !== undefined) throw new Error('the reader failed', { cause: failure });
      return { skipped: events - seen.size, repeated };
    },
  };
}

const sum = (values: readonly (number | undefined)[]): number =>
  values.reduce<number>((total, value) => total + (value ?? Number.NaN), 0);
