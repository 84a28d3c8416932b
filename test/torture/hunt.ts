import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../harness/seed.ts';
import type { Bed } from './bed.ts';
import type { Chance } from './chance.ts';
import { check, type Verdict } from './check.ts';
import type { Kind } from './finding.ts';
import { clearPauses, setPause } from './outside.ts';
import { readAll, startReader } from './readers.ts';
import { nowMs, type StreamRecord } from './record.ts';
import type { Variant } from './variants.ts';
import { startWriters } from './writers.ts';

/** How a hunt for a wrong variant went. */
export interface Hunt {
  readonly variant: string;
  readonly expected: readonly Kind[];
  readonly caught: boolean;
  /** From the first write on. */
  readonly afterMs: number;
  /** Acknowledged until then. */
  readonly events: number;
  /** What was found, and how often. */
  readonly found: Readonly<Partial<Record<Kind, number>>>;
  /** The first of it. */
  readonly detail: string;
}

export interface HuntOptions {
  readonly bed: Bed;
  readonly chance: Chance;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

const lookEveryMs = 250;

/** Writes and reads on streams of its own with the variant put in, until the checker finds what it should or time is up. */
export async function hunt(
  { bed, chance, deadlineMs, signal }: HuntOptions,
  variant: Variant,
): Promise<Hunt> {
  const surprises: unknown[] = [];
  const onSurprise = (error: unknown): void => void surprises.push(error);
  const name = variant.name.replaceAll(' ', '-');
  const streams = [await bed.makeStream(`${name}.0`, 0), await bed.makeStream(`${name}.200`, 200)];
  const takeOut = await variant.putIn(bed.sql);
  for (const pause of variant.pauses) await setPause(bed.sql, pause);
  if (variant.clockStepsBack) await bed.clockwork.jump(-3_600_000_000n, true);

  const startedMs = nowMs();
  const { http, collectors, clockwork } = bed;
  const writers = startWriters({
    ...{ name, writers: 4, chance, http, collectors, streams, clockwork, onSurprise },
    batchEventsMax: 10,
    pauseMsMax: 20,
    twinPercent: variant.twinPercent,
  });
  const reading = { http, collectors, resume: variant.resume, onSurprise };
  const readers = streams.flatMap((stream) =>
    (['tail', 'wanderer'] as const).map((style) =>
      startReader(reading, stream, `${style} of ${stream.name}`, style, chance(`${name} ${style}`)),
    ),
  );

  let verdict: Verdict | undefined;
  let caught = false;
  let endedMs = startedMs;
  try {
    while (!caught && !signal.aborted && nowMs() - startedMs < deadlineMs) {
      await sleep(lookEveryMs);
      verdict = await judge(bed, streams, chance(`${name} full`));
      caught = variant.expected.some((kind) => (verdict?.counts[kind] ?? 0) > 0);
    }
    endedMs = nowMs();
  } finally {
    await takeOut();
    await clearPauses(bed.sql);
    await writers.stop();
    await bed.clockwork.settle();
    const stop = AbortSignal.abort();
    await Promise.allSettled(readers.map((reader) => reader.passed(0n, stop)));
  }
  return {
    variant: variant.name,
    expected: variant.expected,
    caught,
    afterMs: endedMs - startedMs,
    events: streams.reduce((sum, stream) => sum + stream.counts.acknowledged, 0),
    found: found(verdict),
    detail: [...(verdict?.findings ?? []).map(({ detail }) => detail), ...surprises.map(String)][0] ?? '',
  };
}

async function judge(bed: Bed, streams: readonly StreamRecord[], random: Random): Promise<Verdict> {
  const reading = { http: bed.http, collectors: bed.collectors, onSurprise: () => undefined };
  const signal = AbortSignal.timeout(10_000);
  const histories = [];
  for (const stream of streams) {
    histories.push(stream.history(await readAll(reading, stream.name, random, signal), undefined));
  }
  return check({ streams: histories, live: bed.watch.live(), calm: [], complete: false });
}

function found(verdict: Verdict | undefined): Partial<Record<Kind, number>> {
  return Object.fromEntries(Object.entries(verdict?.counts ?? {}).filter(([, count]) => count > 0));
}
