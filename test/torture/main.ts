// `pnpm torture --seconds N --seed S`: hunts every wrong variant, then runs the product under faults for about N seconds, in rounds
// of their own seeds (S, S + 1, …), and prints what came of it. A round that fails comes back with its seed and
// `--seconds <the round's>`. Ends with 1 when anything was lost, stored twice, skipped, repeated, out of order or stuck, or a wrong
// variant was not caught. Ctrl-C ends the round at hand, judges it and cleans up.

import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { parseArgs } from 'node:util';
import { startPrivatePostgres } from '../harness/private-postgres.ts';
import { bundleCollector } from '../harness/bundle.ts';
import { huntAll, type HuntsReport } from './hunts.ts';
import { huntTable, missedOf, runTable, wrongOf } from './report.ts';
import { run, type RunOptions, type RunReport } from './run.ts';

const { values } = parseArgs({
  args: process.argv.slice(2).filter((argument) => argument !== '--'),
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    /** Longest of a round, in seconds. */
    round: { type: 'string', default: '60' },
    'skip-variants': { type: 'boolean', default: false },
  },
});
const seconds = wholeOf('seconds', values.seconds);
const firstSeed = wholeOf('seed', values.seed);
const roundSeconds = Math.min(seconds, wholeOf('round', values.round));

const reports: RunReport[] = [];
const failures: string[] = [];
let hunted: HuntsReport | undefined;

const signal = interruption();
const bundle = await bundleCollector();
try {
  const postgres = await startPrivatePostgres();
  try {
    console.log(`${postgres.program}, seeds from ${firstSeed} on`);
    const shared = { postgres, bundle, signal };
    if (!values['skip-variants']) {
      hunted = await huntAll({ ...shared, seed: firstSeed });
      if (!signal.aborted) failures.push(...missedOf(hunted));
    }
    for (let round = 0; round * roundSeconds < seconds && !signal.aborted; round++) {
      await runRound({ ...shared, seed: firstSeed + round, durationMs: roundSeconds * 1_000 });
    }
  } finally {
    await postgres.stop();
  }
} finally {
  await bundle.remove();
}

if (hunted !== undefined) console.log(`\n${huntTable(hunted.hunts, hunted.locks)}`);
console.log(`\n${runTable(reports)}\n`);
for (const failure of failures) console.log(`FAILED ${failure}`);
// A round that could not be played to its end leaves its writers and readers behind.
process.exit(failures.length > 0 ? 1 : 0);

async function runRound(options: RunOptions): Promise<void> {
  const name = `seed ${options.seed}`;
  try {
    const report = await run(options);
    reports.push(report);
    const wrong = wrongOf(report);
    if (wrong.length === 0) console.log(`${name}: nothing wrong with ${report.acknowledged} events`);
    else failures.push(`${name}: ${wrong[0]}`);
    for (const line of wrong.slice(0, 30)) console.log(line);
  } catch (error) {
    failures.push(`${name}: ${String(error)}`);
    console.log(error);
  }
}

function interruption(): AbortSignal {
  const interrupted = new AbortController();
  setMaxListeners(0, interrupted.signal);
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (!interrupted.signal.aborted) console.log(`${name}: ending the round at hand`);
      interrupted.abort();
    });
  }
  return interrupted.signal;
}

function wholeOf(name: string, text: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 1)) throw new Error(`--${name} is ${text}: it must be a whole number from 1 on`);
  return value;
}
