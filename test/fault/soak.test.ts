import { expect, test } from 'vitest';
import { startBench } from '../bench/bench.ts';
import { inspectorArguments } from '../soak/inspector.ts';
import { soak } from '../soak/run.ts';
import { judge } from '../soak/verdict.ts';

const seconds = 12;
/** What the collector is made to keep, a second. */
const leakMebibytes = 12;
/** Not in the heap, but in buffers outside of it. */
const leak = `const kept = []; setInterval(() => kept.push(Buffer.alloc(${leakMebibytes} * 2 ** 18, 1)), 250).unref();`;

test('a soak sees what a collector keeps for ever, alive and resident', { timeout: 120_000 }, async () => {
  const bench = await startBench({
    batches: 40,
    eventsPerBatch: 20,
    profileFolder: undefined,
    nodeArguments: [...inspectorArguments, '--import', `data:text/javascript,${encodeURIComponent(leak)}`],
  });
  try {
    const { samples, read } = await soak(bench, {
      seconds,
      sampleMs: 250,
      fullSeconds: 2,
      onSample() {},
    });
    expect(read.pages).toBeGreaterThan(0);
    expect(read.liveBytes).toBeGreaterThan(0);
    for (const series of ['live', 'rss'] as const) {
      const verdict = judge(samples, series);
      expect({ series, ...verdict }).toMatchObject({ grows: true });
      expect(verdict.slope / 3_600).toBeGreaterThan(leakMebibytes / 2);
    }
  } finally {
    await bench.stop();
  }
});
