// What `pnpm demo` runs: 20,000 real flights go in as they came, and come back as they were planned.
//
// It starts a collector on a database of its own, or uses the one at TIDEMARK_URL with TIDEMARK_WRITE_KEY, TIDEMARK_READ_KEY and
// TIDEMARK_ADMIN_KEY. There a second run finds that everything has been stored. Exit 1: something was not as promised.

import { rm } from 'node:fs/promises';
import type { StoredEvent } from '@tidemark/core/wire';
import { disorderOf } from './demo/disorder.ts';
import { type Flight, inActualOrder, readFlights } from './demo/flights.ts';
import { type DemoRun, runDemo, type Target } from './demo/run.ts';
import { mistakesOf } from './demo/verify.ts';
import { startCollectorProcess } from './harness/collector-process.ts';
import { makeEnterableFolder } from './harness/enterable-folder.ts';

const stream = 'demo.flights';

const flights = await readFlights();
const arrivals = inActualOrder(flights);
const { target, stop } = await findCollector();
try {
  console.log(`${flights.length} flights go to ${target.url} in the order in which they came …`);
  const run = await runDemo(target, arrivals);
  const mistakes = mistakesOf(flights, run);
  console.log(describe(arrivals, run));
  for (const mistake of mistakes) console.error(`WRONG: ${mistake}`);
  process.exitCode = mistakes.length === 0 ? 0 : 1;
} finally {
  await stop();
}

async function findCollector(): Promise<{ target: Target; stop: () => Promise<void> }> {
  const { TIDEMARK_URL: url } = process.env;
  if (url !== undefined) {
    const keys = { write: given('WRITE'), read: given('READ'), admin: given('ADMIN') };
    return { target: { url, keys, stream }, stop: async () => {} };
  }
  console.log('Starting a collector with a Postgres of its own …');
  const folder = await makeEnterableFolder('tidemark-demo-');
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  try {
    const collector = await startCollectorProcess({ environment: { TIDEMARK_DATA_DIR: folder } });
    return {
      target: { url: collector.url, keys: collector.keys, stream },
      async stop() {
        try {
          await collector.stop();
        } finally {
          await removeFolder();
        }
      },
    };
  } catch (error) {
    await removeFolder();
    throw error;
  }
}

function given(role: string): string {
  const name = `TIDEMARK_${role}_KEY`;
  const key = process.env[name];
  if (key === undefined || key === '')
    throw new Error(`${name} is missing: TIDEMARK_URL needs all three keys`);
  return key;
}

function describe(arrivals: readonly Flight[], run: DemoRun): string {
  const { events } = run;
  const sent = disorderOf(arrivals.map(({ scheduledMs }) => scheduledMs));
  const read = disorderOf(events.map(({ orderTime }) => Date.parse(orderTime)));
  const minutes = new Set(events.map(({ orderTime }) => orderTime)).size;
  return `
sent      ${number(run.accepted)} accepted, ${number(run.duplicates)} duplicates, ${rate(arrivals.length, run.sendMs)}
          ${number(sent.late)} came after a flight that was planned for later: ${number(sent.inversions)} pairs in the wrong order
read      ${number(events.length)} events at ${number(minutes)} different minutes, ${rate(events.length, run.readMs)}
          ${number(read.late)} came after a later one: ${number(read.inversions)} pairs in the wrong order

${events.slice(0, 3).map(line).join('\n')}
  …
${events.slice(-3).map(line).join('\n')}
`;
}

function line({ orderTime, id, key, props }: StoredEvent): string {
  const minute = orderTime.slice(0, 16).replace('T', ' ');
  return `  ${minute}  ${key}  ${JSON.stringify(props)}  ${id}`;
}

function number(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function rate(events: number, ms: number): string {
  return `${number((events / ms) * 1_000)} events/s`;
}
