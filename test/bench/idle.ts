import { setTimeout as sleep } from 'node:timers/promises';
import { type BatchReply, paths } from '@tidemark/core/wire';
import type { BenchCollector } from './bench.ts';
import type { CpuMeter } from './cpu.ts';
import type { Figure, Measurement } from './figure.ts';

/** As many as there may be by default. */
const streams = 10_000;
const perBatch = 500;
const settleMs = 3_000;
const idleMs = 10_000;

/** What streams cost that nobody writes to or reads, while their watermarks go on. */
export const idle: Figure = {
  name: 'idle',
  title: `${streams.toLocaleString('en')} streams that nobody uses, against none`,
  async prepare(bench) {
    const { postgres } = bench;
    const none = await bench.startCollector(await postgres.createDatabase());
    const measureNone = await createMeasure(none, postgres.cpu);
    const emptyCost = await measureNone();
    await none.stop();
    const many = await bench.startCollector(await postgres.createDatabase());
    for (let from = 0; from < streams; from += perBatch) await makeStreams(many, from);
    await sleep(settleMs);
    return {
      cases: [{ name: 'many streams', measure: await createMeasure(many, postgres.cpu) }],
      bounds: [{ case: 'many streams', value: '% of a core', atMost: 5 }],
      notes: [
        `collector and Postgres together, over ${idleMs / 1_000} s a round; with no stream at all, once: ${emptyCost['% of a core']?.toFixed(1)} %`,
      ],
      close: () => many.stop(),
    };
  },
};

async function createMeasure(
  { cpu }: BenchCollector,
  postgres: CpuMeter,
): Promise<() => Promise<Measurement>> {
  if ((await cpu()) === undefined || (await postgres()) === undefined)
    throw new Error('this system does not tell how much CPU a process has used');
  return async () => {
    const before = await Promise.all([cpu(), postgres()]);
    const startedAt = performance.now();
    await sleep(idleMs);
    const seconds = (performance.now() - startedAt) / 1_000;
    const after = await Promise.all([cpu(), postgres()]);
    const [collector = Number.NaN, database = Number.NaN] = after.map(
      (used, at) => (((used ?? Number.NaN) - (before[at] ?? Number.NaN)) / seconds) * 100,
    );
    return {
      '% of a core': collector + database,
      '% CPU collector': collector,
      '% CPU Postgres': database,
    };
  };
}

/** By an event in each, as clients do. */
async function makeStreams({ url, keys }: BenchCollector, from: number): Promise<void> {
  const events = Array.from({ length: perBatch }, (_, at) => ({
    id: `${from + at}`,
    stream: `idle-${from + at}`,
    name: 'made',
  }));
  const answer = await fetch(new URL(paths.events, url), {
    method: 'POST',
    headers: { authorization: `Bearer ${keys.write}`, 'content-type': 'application/json' },
    body: JSON.stringify({ events }),
  });
  const text = await answer.text();
  if (!answer.ok || (JSON.parse(text) as BatchReply).accepted !== perBatch)
    throw new Error(`streams from ${from}: ${answer.status} ${text.slice(0, 500)}`);
}
