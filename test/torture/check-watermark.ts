import type { Finding } from './finding.ts';
import type { Interval, StreamHistory, Told } from './history.ts';

/**
 * That a watermark, once told, holds: it does not go back for anybody who asks later, and what is sent later comes after it (G7).
 * This sees an event below the watermark even where no chain passed it by.
 */
export function checkTold({ told, samples, full, sent }: StreamHistory): Finding[] {
  const findings: Finding[] = [];
  const all = [...told, ...samples].sort((a, b) => a.answeredMs - b.answeredMs);
  const highest = highestBefore(all);
  for (const { askedMs, answeredMs, watermark } of all) {
    const before = highest(askedMs);
    if (before !== undefined && watermark < before) {
      const detail = `the watermark was ${before}, and ${watermark} was told afterwards`;
      findings.push({ kind: 'watermarkWentBack', atMs: answeredMs, detail });
    }
  }
  for (const page of full.pages) {
    for (const event of page.events) {
      const sentMs = sent.get(event.id)?.sentMs;
      const before = sentMs === undefined ? undefined : highest(sentMs);
      if (before !== undefined && event.orderTime < before) {
        const detail = `${event.id} was sent after the watermark ${before} had been told and stands at ${event.orderTime}`;
        findings.push({ kind: 'belowWatermark', atMs: page.answeredMs, detail });
      }
    }
  }
  return findings;
}

/** The highest watermark of all answers that came before a moment. */
function highestBefore(sorted: readonly Told[]): (ms: number) => bigint | undefined {
  const highest: bigint[] = [];
  for (const { watermark } of sorted) {
    const last = highest.at(-1);
    highest.push(last !== undefined && last > watermark ? last : watermark);
  }
  return (ms) => {
    let from = 0;
    let to = sorted.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((sorted[middle]?.answeredMs ?? 0) < ms) from = middle + 1;
      else to = middle;
    }
    return highest[from - 1];
  };
}

/** A watermark that stands still for longer is stuck (G9). */
export const stuckMs = 10_000;

/** The longest time that the watermark stood still within one of these intervals, and when that was seen. */
export function longestStall(
  samples: readonly Told[],
  live: readonly Interval[],
): { readonly forMs: number; readonly atMs: number } {
  let worst = { forMs: 0, atMs: 0 };
  for (const { fromMs, toMs } of live) {
    let sinceMs = fromMs;
    let before: bigint | undefined;
    for (const { askedMs, answeredMs, watermark } of samples) {
      if (askedMs > toMs) break;
      if (before === undefined || watermark > before) {
        // Before the first look there may have been no such stream.
        if (before !== undefined) worst = longer(worst, askedMs - sinceMs, askedMs);
        sinceMs = Math.max(fromMs, answeredMs);
      }
      before = watermark;
    }
    if (before !== undefined) worst = longer(worst, toMs - sinceMs, toMs);
  }
  return worst;
}

function longer(worst: { forMs: number; atMs: number }, forMs: number, atMs: number) {
  return forMs > worst.forMs ? { forMs, atMs } : worst;
}
