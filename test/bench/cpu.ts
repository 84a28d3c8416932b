import { readFile } from 'node:fs/promises';
import { descendantsOf } from '../harness/processes.ts';
import type { Measurement } from './figure.ts';

/** Reads how much CPU something has used so far, in seconds; undefined where the system does not tell. */
export type CpuMeter = () => Promise<number | undefined>;

/** The kernel counts in hundredths of a second, whatever its own tick is. */
const ticksPerSecond = 100;

/** A process, alone. */
export function processMeter(pid: number): CpuMeter {
  return async () => {
    const times = await readTimes(pid);
    return times?.own;
  };
}

/** A process and all below it; those that have ended count with the one that they were below. */
export function familyMeter(pid: number): CpuMeter {
  return async () => {
    const head = await readTimes(pid);
    if (head === undefined) return undefined;
    const below = await Promise.all((await descendantsOf(pid)).map(readTimes));
    return head.own + head.ended + below.reduce((sum, times) => sum + (times?.own ?? 0), 0);
  };
}

/** This process. */
export const ownMeter: CpuMeter = async () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/**
 * Does something with so many events, or with as many as its result says. Says how many a second, and of each meter's processes how much of one core they took and how
 * many microseconds of it for an event: that figure hardly changes when other programs want the same cores.
 */
export async function measureEvents<Result>(
  count: number | ((result: Result) => number),
  meters: Readonly<Record<string, CpuMeter>>,
  run: () => Result | Promise<Result>,
): Promise<{ result: Result; measured: Measurement }> {
  const read = () => Promise.all(Object.values(meters).map((meter) => meter()));
  const before = await read();
  const startedAt = performance.now();
  const result = await run();
  const seconds = (performance.now() - startedAt) / 1_000;
  const after = await read();
  const events = typeof count === 'number' ? count : count(result);
  const measured: Record<string, number> = { 'events/s': events / seconds };
  Object.keys(meters).forEach((name, at) => {
    const used = (after[at] ?? Number.NaN) - (before[at] ?? Number.NaN);
    if (Number.isNaN(used)) return;
    measured[`% CPU ${name}`] = (used / seconds) * 100;
    measured[`µs/event CPU ${name}`] = (used / events) * 1e6;
  });
  return { result, measured };
}

async function readTimes(pid: number): Promise<{ own: number; ended: number } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The second field is the program's name in parentheses, and may hold anything. Of the others, 14–17 are times.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15);
  return { own: (user + system) / ticksPerSecond, ended: (endedUser + endedSystem) / ticksPerSecond };
}
