import type { Kind } from './finding.ts';
import type { Hunt } from './hunt.ts';
import type { HuntsReport } from './hunts.ts';
import { type Latency, type LockComparison, tellsApart } from './locks.ts';
import type { RunReport } from './run.ts';

/** G9 allows a second. On a busy machine more than that may be the machine; this much is not. */
const staleMs = 5_000;

/** What a run of the product shows that should not be, a line for each: nothing, if all is well. */
export function wrongOf({ verdict, surprises }: RunReport): string[] {
  const { worstMs } = verdict.freshness;
  return [
    ...verdict.findings.map(({ kind, atMs, detail }) => `${kind}${moment(atMs)}: ${detail}`),
    ...(worstMs < staleMs
      ? []
      : [`stale: an event could be read ${Math.round(worstMs)} ms after it was due`]),
    ...surprises,
  ];
}

function moment(atMs: number | undefined): string {
  return atMs === undefined ? '' : ` at ${Math.round(atMs)} ms`;
}

/** Wrong variants that were not caught, and what the product itself was found guilty of beside them. */
export function missedOf({ hunts, locks }: HuntsReport): string[] {
  const wrong = hunts.filter(({ expected, caught, found }) =>
    expected.length > 0 ? !caught : Object.keys(found).length > 0,
  );
  const missed = wrong.map(({ variant, detail }) => `variant ${variant}: ${detail}`);
  return tellsApart(locks) ? missed : [...missed, 'variant exclusive lock'];
}

const columns: readonly (readonly [title: string, value: (report: RunReport) => string | number])[] = [
  ['seed', ({ seed }) => seed],
  ['collectors', ({ collectors }) => collectors],
  ['seconds', ({ seconds }) => Math.round(seconds)],
  ['sent', ({ sent }) => sent],
  ['acknowledged', ({ acknowledged }) => acknowledged],
  ['stored', ({ stored }) => stored],
  ['read', ({ read }) => read],
  ['worked', ({ worked }) => worked],
  ['panes', ({ panes }) => panes],
  ['duplicates', ({ writes }) => writes.duplicates],
  ['spooled', ({ writes }) => writes.spooled],
  ['unknown', ({ writes }) => writes.unknown],
  ['kills', ({ faults }) => faults.killCollector],
  ['halts', ({ faults }) => faults.haltCollector],
  ['crashes', ({ faults }) => faults.crashPostgres + faults.crashBackend],
  ['hangs', ({ faults }) => faults.haltPostgres],
  ['cuts', ({ faults }) => faults.cutDatabase],
  ['jumps', ({ faults }) => faults.jumpClock],
  ['storms', ({ faults }) => faults.storm],
  ['slow', ({ faults }) => faults.slowAppends],
  ['delays', ({ faults }) => faults.changeDelay],
  ['lost', count('lost')],
  ['twice', count('storedTwice')],
  ['skipped', count('skipped')],
  ['repeated', count('repeated')],
  ['disorder', count('outOfOrder', 'disagreed', 'misplaced', 'belowWatermark', 'watermarkWentBack')],
  ['final', count('miscounted', 'changed')],
  ['other', count('neverSent', 'altered', 'hidden', 'wronglyLate', 'stuck')],
  ['stall ms', ({ verdict }) => Math.round(verdict.stallMs)],
  ['fresh ms', ({ verdict }) => Math.round(verdict.freshness.worstMs)],
  ['over 1 s', ({ verdict }) => `${verdict.freshness.over}/${verdict.freshness.measured}`],
];

function count(...of: Kind[]): (report: RunReport) => number {
  return ({ verdict }) => of.reduce((sum, kind) => sum + verdict.counts[kind], 0);
}

/** A line for each run, and one for all of them. */
export function runTable(reports: readonly RunReport[]): string {
  const rows = reports.map((report) => columns.map(([, value]) => String(value(report))));
  const total = columns.map(([title], at) => {
    if (title === 'seed') return `${reports.length} runs`;
    const values = rows.map((row) => row[at] ?? '');
    if (title.endsWith(' ms')) return String(Math.max(0, ...values.map(Number)));
    if (title === 'over 1 s') return values.reduce(addPairs, '0/0');
    return title === 'collectors' ? '' : String(values.reduce((sum, value) => sum + Number(value), 0));
  });
  return table([columns.map(([title]) => title), ...rows, total]);
}

/** A line for each wrong variant. */
export function huntTable(hunts: readonly Hunt[], locks?: LockComparison): string {
  const rows = hunts.map(({ variant, expected, caught, afterMs, events, found }) => [
    variant,
    expected.length === 0 ? 'nothing to catch' : caught ? 'caught' : 'MISSED',
    `${Math.round(afterMs)} ms`,
    `${events} events`,
    Object.entries(found)
      .map(([kind, times]) => `${kind} ${times}`)
      .join(', '),
  ]);
  if (locks !== undefined) rows.push(lockRow(locks));
  return table(rows);
}

function lockRow(locks: LockComparison): string[] {
  const latency = ({ medianMs, p99Ms }: Latency) => `${Math.round(medianMs)}/${Math.round(p99Ms)} ms`;
  return [
    'exclusive lock',
    tellsApart(locks) ? 'caught' : 'MISSED',
    '',
    '',
    `median/p99 of writers ${latency(locks.exclusive)}, with the shared lock ${latency(locks.shared)}`,
  ];
}

function addPairs(sum: string, pair: string): string {
  const [a = 0, b = 0] = sum.split('/').map(Number);
  const [c = 0, d = 0] = pair.split('/').map(Number);
  return `${a + c}/${b + d}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  return rows.map((row) => row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join('  ')).join('\n');
}
