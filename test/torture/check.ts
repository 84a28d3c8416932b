import { checkChain, checkOrder } from './check-chain.ts';
import { checkConsumer } from './check-consumers.ts';
import { checkRows, checkStored } from './check-stored.ts';
import { checkTimes } from './check-times.ts';
import { checkTold, longestStall, stuckMs } from './check-watermark.ts';
import { checkWindows } from './check-windows.ts';
import { type Finding, type Kind, kinds } from './finding.ts';
import { type Freshness, measureFreshness } from './freshness.ts';
import type { History, StreamHistory } from './history.ts';

export interface Verdict {
  readonly findings: readonly Finding[];
  readonly counts: Readonly<Record<Kind, number>>;
  /** Longest time that a watermark stood still while everything needed ran, milliseconds. */
  readonly stallMs: number;
  readonly freshness: Freshness;
}

/** Judges a run by nothing but what was sent, acknowledged and read. */
export function check(history: History): Verdict {
  const stalls = history.streams.map((stream) => ({
    name: stream.name,
    ...longestStall(stream.samples, history.live),
  }));
  const findings = [
    ...history.streams.flatMap((stream) => checkStream(stream, history.complete)),
    ...stalls
      .filter((stall) => stall.forMs > stuckMs)
      .map(
        ({ name, forMs, atMs }): Finding => ({
          kind: 'stuck',
          atMs,
          detail: `the watermark of ${name} stood still for ${Math.round(forMs)} ms`,
        }),
      ),
  ];
  return {
    findings,
    counts: count(findings),
    stallMs: Math.max(0, ...stalls.map((stall) => stall.forMs)),
    freshness: measureFreshness(history),
  };
}

function checkStream(stream: StreamHistory, complete: boolean): Finding[] {
  const found = [
    ...checkOrder(stream.full),
    ...stream.chains.flatMap((chain) => checkChain(chain, stream.full)),
    ...stream.consumers.flatMap((work) => checkConsumer(work, stream.full)),
    ...checkWindows(stream),
    ...checkStored(stream, complete),
    ...checkRows(stream),
    ...checkTimes(stream),
    ...checkTold(stream),
  ];
  return found.map((finding) => ({ ...finding, detail: `${stream.name}: ${finding.detail}` }));
}

function count(findings: readonly Finding[]): Record<Kind, number> {
  const counts = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<Kind, number>;
  for (const { kind } of findings) counts[kind] += 1;
  return counts;
}
