// `pnpm soak --minutes N`: a collector under half of the load that it can take, with readers, for N minutes (30, if left out; parts of
// one are minutes too). Prints its memory each minute, and at the end the medians of its thirds and the slope; ends with 1 when memory
// grows. `verdict.ts` says when that is.

import { parseArgs } from 'node:util';
import { startBench } from '../bench/bench.ts';
import { percentile } from '../bench/statistics.ts';
import { inspectorArguments } from './inspector.ts';
import { soak } from './run.ts';
import { judge, type Sample, type Series, samplesMin, type Verdict } from './verdict.ts';

const { values } = parseArgs({
  args: process.argv.slice(2).filter((argument) => argument !== '--'),
  options: { minutes: { type: 'string', default: '30' } },
});
const minutes = Number(values.minutes);
const fewestMinutes = 0.5;
if (!(minutes >= fewestMinutes))
  throw new Error(`--minutes ${values.minutes}: a number from ${fewestMinutes}`);
const seconds = minutes * 60;
/** A short run must have samples enough, too. */
const sampleMs = Math.min(5_000, (seconds * 1_000) / (4 * samplesMin));

const eventsPerBatch = 100;
const bench = await startBench({
  batches: 400,
  eventsPerBatch,
  profileFolder: undefined,
  nodeArguments: inspectorArguments,
});
try {
  const { samples, batchesPerSecond, offered, read } = await soak(bench, {
    seconds,
    sampleMs,
    fullSeconds: 15,
    onSample: sayEachMinute(),
  });
  console.log(
    `\n${Math.round(batchesPerSecond)} batches/s of ${eventsPerBatch} events for ${minutes} minutes: ${offered.accepted} accepted, ${offered.refused} refused, ${offered.failed} failed, ms p99 ${percentile(offered.acceptedMs, 0.99).toFixed(0)}`,
  );
  console.log(
    `read meanwhile: ${read.pages} pages with ${read.events} events, ${Math.round(read.liveBytes / 2 ** 20)} MiB live in ${read.connections} responses; ${read.refused} times refused\n`,
  );
  const verdicts = (['live', 'rss'] as const).map((series) => ({ series, verdict: judge(samples, series) }));
  for (const { series, verdict } of verdicts) console.log(describe(series, verdict));
  if (verdicts.some(({ verdict }) => verdict.grows)) process.exitCode = 1;
} finally {
  await bench.stop();
}

function sayEachMinute(): (sample: Sample) => void {
  let said = 0;
  return ({ seconds: at, live, rss }) => {
    if (at < said) return;
    said += 60;
    console.log(
      `${(at / 60).toFixed(1).padStart(6)} min  RSS ${rss.toFixed(0)} MiB, alive ${live.toFixed(1)} MiB`,
    );
  };
}

function describe(series: Series, { first, middle, last, slope, allowance, finds, grows }: Verdict): string {
  const name = { live: 'alive after a collection', rss: 'RSS after a collection' }[series];
  const medians = [first, middle, last].map((median) => median.toFixed(1)).join(' → ');
  return `${name.padEnd(24)}  medians of thirds ${medians} MiB, ${slope.toFixed(1)} MiB/hour: ${grows ? 'GROWS' : 'does not grow'} (by more than ${allowance.toFixed(1)} MiB, which is sure for a leak from ${finds.toFixed(0)} MiB/hour on)`;
}
