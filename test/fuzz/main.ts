// `pnpm fuzz --count N --seed S`: sends N hostile requests (by default a million) to a collector of its own, and ends with 1 when it
// crashed, answered 5xx, broke the rules of HTTP or of the protocol, or kept memory. A finding is printed with the number of its request.

import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { startCollectorProcess } from '../harness/collector-process.ts';
import { startPrivatePostgres } from '../harness/private-postgres.ts';
import { growthOf, type MemorySample } from './memory.ts';
import { type Finding, fuzz, unavailableOf } from './run.ts';

const { values } = parseArgs({
  args: process.argv.slice(2).filter((argument) => argument !== '--'),
  options: {
    count: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    connections: { type: 'string', default: '24' },
  },
});
const count = wholeOf('count', values.count);
const seed = wholeOf('seed', values.seed);
const connections = wholeOf('connections', values.connections);

/** More than this is a leak; less may be the heap's own play. */
const growthMiBMax = 48;

/** With the loader that runs the sources. */
const residentMiBMax = 512;

/** A share of all requests. */
const unavailableMax = 0.001;

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort());

const failures: string[] = [];
const startMs = performance.now();
const postgres = await startPrivatePostgres();
try {
  const collector = await startCollectorProcess({
    environment: { DATABASE_URL: postgres.url, TIDEMARK_MAX_STREAMS: '300', TIDEMARK_LOG_LEVEL: 'warn' },
  });
  console.log(`seed ${seed}, ${count} requests over ${connections} connections, process ${collector.pid}`);
  try {
    const report = await fuzz({
      collector,
      seed,
      count,
      connections,
      signal: interrupted.signal,
      onFinding,
      onProgress,
    });
    const seconds = (performance.now() - startMs) / 1_000;
    const { heap, resident } = growthOf(report.memory);
    console.log(
      `sent ${report.sent} in ${Math.round(seconds)} s; replies by status: ${JSON.stringify(report.statuses)}`,
    );
    const peak = Math.max(...report.memory.map((one) => one.resident));
    console.log(
      `peak resident ${peak.toFixed(0)} MiB; grown by ${heap.toFixed(1)} MiB of heap, ${resident.toFixed(1)} MiB resident`,
    );
    if (report.failures > 0) failures.push(`it counted ${report.failures} failures of its own`);
    if (unavailableOf(report) > unavailableMax) failures.push('it said too often that the database is away');
    if (peak > residentMiBMax) failures.push(`it took ${peak.toFixed(0)} MiB`);
    if (heap > growthMiBMax) failures.push(`the heap has grown by ${heap.toFixed(1)} MiB`);
  } finally {
    await collector.stop();
    // Whatever it logged as an error it had not expected.
    const errors = collector
      .output()
      .split('\n')
      .filter((line) => line.includes('"level":"error"'));
    failures.push(...errors.map((line) => `logged: ${line.slice(0, 2_000)}`));
  }
} catch (error) {
  failures.push(`the collector crashed: ${String(error)}`);
} finally {
  await postgres.stop();
}

for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(failures.length === 0 ? 'nothing found' : `${failures.length} findings with --seed ${seed}`);
process.exitCode = failures.length > 0 ? 1 : 0;

function onFinding({ number, fault, request }: Finding): void {
  failures.push(`request ${number}: ${fault}`);
  console.log(`request ${number}: ${fault}\n${JSON.stringify(request)}`);
}

function onProgress(sent: number, findings: number, memory: readonly MemorySample[]): void {
  const { resident = 0, heap = 0 } = memory.at(-1) ?? {};
  const seconds = Math.round((performance.now() - startMs) / 1_000);
  console.log(
    `${seconds} s: ${sent} sent, ${findings} findings, ${resident.toFixed(0)} MiB resident, ${heap.toFixed(0)} MiB heap`,
  );
}

function wholeOf(name: string, text: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 1)) throw new Error(`--${name} is ${text}: it must be a whole number from 1 on`);
  return value;
}
