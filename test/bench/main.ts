// What `pnpm bench` runs: prints a table and writes the same as JSON to .bench/.
//
//   --only P1,P4     these figures alone (those without a number: spool, idle, stalled, windows, sizes, peers, limits)
//   --grow           P5 alone, which takes about ten minutes and 8 GiB of disk: ten million events against a hundred thousand
//   --events N       instead of ten million
//   --ids random     with ids that are not made in the order of time
//   --rounds N       instead of 7
//   --quick          3 rounds of a fifth of the load: to see that it works, not to compare
//   --profile        CPU profiles of the collectors in .bench/profiles, and where their time went

import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startBench } from './bench.ts';
import { type Figure, measureRounds } from './figure.ts';
import { idle } from './idle.ts';
import { limits } from './limits.ts';
import { p1 } from './p1.ts';
import { p10, p10Faults } from './p10.ts';
import { p11 } from './p11.ts';
import { p2 } from './p2.ts';
import { p3 } from './p3.ts';
import { p4 } from './p4.ts';
import { createP5 } from './p5.ts';
import { p6 } from './p6.ts';
import { p7 } from './p7.ts';
import { p8 } from './p8.ts';
import { peers } from './peers.ts';
import { describeProfiles } from './profile.ts';
import { type FigureReport, renderTable, reportRows } from './report.ts';
import { sizes } from './sizes.ts';
import { spool } from './spool.ts';
import { stalled } from './stalled.ts';
import { windows } from './windows.ts';

const figures: readonly Figure[] = [
  ...[p1, p2, p3, p4, p6, p7, p8, p10, p10Faults, p11],
  ...[spool, idle, stalled, windows, sizes, peers, limits],
];
const eventsPerBatch = 500;

const { values } = parseArgs({
  args: process.argv.slice(2).filter((argument) => argument !== '--'),
  options: {
    only: { type: 'string' },
    grow: { type: 'boolean', default: false },
    events: { type: 'string', default: '10000000' },
    ids: { type: 'string', default: 'ordered' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
  },
});
const rounds = wholeFrom(1, 'rounds', values.rounds ?? (values.quick ? '3' : '7'));
const events = wholeFrom(500_000, 'events', values.events);
const { ids } = values;
if (ids !== 'ordered' && ids !== 'random') throw new Error(`--ids ${ids}: ordered or random`);
const chosen = values.grow ? [createP5({ events, ids })] : choose(values.only);

const folder = fileURLToPath(new URL('../../.bench', import.meta.url));
const startedAt = new Date().toISOString();
const profileFolder = values.profile ? join(folder, 'profiles', startedAt.replaceAll(':', '.')) : undefined;
const bench = await startBench({ batches: values.quick ? 40 : 200, eventsPerBatch, profileFolder });
const reports: FigureReport[] = [];
try {
  for (const figure of chosen) {
    say(`${figure.name}: getting ready …`);
    await bench.giveLoad();
    const prepared = await figure.prepare(bench);
    try {
      const measured = await measureRounds(prepared.cases, rounds, (round) =>
        say(`${figure.name}: round ${round + 1} of ${rounds} …`),
      );
      const once = await measureRounds(prepared.once ?? [], 1, () =>
        say(`${figure.name}: what comes once …`),
      );
      const { name, title } = figure;
      reports.push({
        name,
        title,
        rows: reportRows(prepared, new Map([...measured, ...once])),
        notes: prepared.notes ?? [],
      });
    } finally {
      await prepared.close();
    }
  }
} finally {
  await bench.stop();
}

const machine = `${cpus().length} × ${cpus()[0]?.model}, Node ${process.versions.node}, Postgres ${bench.postgres.version}`;
console.log(`\nmedian of ${rounds} rounds, least – most; ${machine}\n${renderTable(reports)}`);
if (profileFolder !== undefined) console.log(`\n${await describeProfiles(profileFolder)}`);
await mkdir(folder, { recursive: true });
const json = JSON.stringify(
  { startedAt, machine, rounds, quick: values.quick, figures: reports },
  undefined,
  2,
);
for (const name of ['latest', startedAt.replaceAll(':', '.')])
  await writeFile(join(folder, `${name}.json`), json);

function wholeFrom(least: number, name: string, text: string): number {
  const number = Number(text);
  if (!(Number.isInteger(number) && number >= least))
    throw new Error(`--${name} ${text}: a whole number from ${least}`);
  return number;
}

function choose(only: string | undefined): readonly Figure[] {
  if (only === undefined) return figures;
  return only.split(',').map((name) => {
    const found = figures.find((figure) => figure.name.toLowerCase() === name.trim().toLowerCase());
    if (found === undefined)
      throw new Error(`--only ${name}: there are ${figures.map((figure) => figure.name).join(', ')}`);
    return found;
  });
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
