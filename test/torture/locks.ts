import { setTimeout as sleep } from 'node:timers/promises';
import type { Bed } from './bed.ts';
import type { Chance } from './chance.ts';
import { clearPauses, setPause } from './outside.ts';
import { exclusiveLock } from './variants.ts';
import { startWriters } from './writers.ts';

/** How long writers wait for their replies, milliseconds. */
export interface Latency {
  readonly medianMs: number;
  readonly p99Ms: number;
}

export interface LockComparison {
  readonly shared: Latency;
  readonly exclusive: Latency;
}

/**
 * An exclusive lock is right, and slow: the wrong variant that no reader can see. Many writers of one stream, each append of which
 * takes a while: with the product's lock, and with an exclusive one.
 */
export async function compareLocks(bed: Bed, chance: Chance): Promise<LockComparison> {
  await setPause(bed.sql, { at: 'stored', ms: appendMs, share: 1 });
  try {
    const shared = await measure(bed, chance, 'shared-lock');
    const takeOut = await exclusiveLock(bed.sql);
    try {
      return { shared, exclusive: await measure(bed, chance, 'exclusive-lock') };
    } finally {
      await takeOut();
    }
  } finally {
    await clearPauses(bed.sql);
  }
}

/** Whether writers wait so much longer that nobody could overlook it. */
export function tellsApart({ shared, exclusive }: LockComparison): boolean {
  return exclusive.medianMs > 2.5 * shared.medianMs;
}

const appendMs = 40;
/** Until connections and statements are made. */
const warmUpMs = 500;
const measureMs = 1_500;

async function measure(bed: Bed, chance: Chance, name: string): Promise<Latency> {
  const { http, collectors, clockwork } = bed;
  const streams = [await bed.makeStream(name, 200)];
  const writers = startWriters({
    ...{ name, writers: 32, chance, http, collectors, streams, clockwork, onSurprise: () => undefined },
    batchEventsMax: 2,
    pauseMsMax: 20,
    twinPercent: 0,
  });
  await sleep(warmUpMs);
  const warm = writers.counts.latenciesMs.length;
  await sleep(measureMs);
  await writers.stop();
  const sorted = writers.counts.latenciesMs.slice(warm).toSorted((a, b) => a - b);
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
  return { medianMs: quantile(0.5), p99Ms: quantile(0.99) };
}
