import { setMaxListeners } from 'node:events';
import type { PrivatePostgres } from '../harness/private-postgres.ts';
import { type Bed, makeBed, putDelay } from './bed.ts';
import type { Bundle } from '../harness/bundle.ts';
import { chanceOf } from './chance.ts';
import { check, type Verdict } from './check.ts';
import { createFaults, type FaultCounts } from './faults.ts';
import type { History } from './history.ts';
import { startLiveReader } from './live-reader.ts';
import { startMembers } from './members.ts';
import { type Reader, readAll, resumeAtNextCursor, startReader } from './readers.ts';
import { nowMs, type StreamRecord } from './record.ts';
import { describeSchedule, makeSchedule } from './schedule.ts';
import { startWindowReader } from './window-reader.ts';
import { startWriters, type WriteCounts } from './writers.ts';

/** One run of the product under faults, from its seed. */
export interface RunOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly postgres: PrivatePostgres;
  readonly bundle: Bundle;
  /** Ends the run early; what was seen until then is judged. */
  readonly signal: AbortSignal;
}

export interface RunReport {
  readonly seed: number;
  readonly collectors: number;
  readonly seconds: number;
  readonly sent: number;
  readonly acknowledged: number;
  readonly stored: number;
  /** By all readers together. */
  readonly read: number;
  /** By members of consumers. */
  readonly worked: number;
  /** Panes of windows, by all who read them. */
  readonly panes: number;
  readonly writes: WriteCounts;
  readonly faults: FaultCounts;
  readonly verdict: Verdict;
  /** What no one should ever see: answers outside of the contract, a collector that ends by itself. */
  readonly surprises: readonly string[];
}

/** Longest that everything may take to come to its end after the faults. */
const endMsMax = 60_000;

export async function run(options: RunOptions): Promise<RunReport> {
  const { seed, postgres, bundle, signal } = options;
  const chance = chanceOf(seed);
  const collectors = chance('collectors').oneOf([2, 2, 3, 4]);
  // Some with a spool, some without: both have to hold, and to get along.
  const spools = chance('spools').below(collectors + 1);
  const schedule = makeSchedule(chance('schedule'), options.durationMs, collectors);
  console.log(
    `seed ${seed}: ${collectors} collectors, ${spools} with a spool, ${describeSchedule(schedule)}`,
  );
  const startedMs = nowMs();
  const bed = await makeBed({ postgres, bundle, collectors, spools });
  try {
    const { surprises } = bed;
    const onSurprise = (error: unknown): void => void surprises.push(String(error));
    const streams = await makeStreams(bed);
    const [changing, slow] = [streams[4], streams[1]];
    const faults = createFaults({
      bed,
      postgres,
      random: chance('faults'),
      slowStream: slow?.name ?? '',
      changingStream: changing?.name ?? '',
    });
    const writers = startWriters({
      name: String(seed),
      writers: 4,
      chance,
      http: bed.http,
      collectors: bed.collectors,
      streams: streams.slice(0, -1),
      clockwork: bed.clockwork,
      batchEventsMax: 20,
      pauseMsMax: 80,
      twinPercent: 5,
      onSurprise,
    });
    const reading = { http: bed.http, collectors: bed.collectors, resume: resumeAtNextCursor, onSurprise };
    const readers: Reader[] = [];
    for (const stream of streams) {
      readers.push(
        startReader(reading, stream, `tail of ${stream.name}`, 'tail', chance(`tail ${stream.name}`)),
      );
      const name = `wanderer in ${stream.name}`;
      readers.push(startReader(reading, stream, name, 'wanderer', chance(name)));
    }

    for (const stream of streams.slice(0, 3)) {
      readers.push(
        startLiveReader(reading, stream, `live in ${stream.name}`, chance(`live ${stream.name}`)),
        startWindowReader(reading, stream, `windows of ${stream.name}`, chance(`windows ${stream.name}`)),
      );
    }
    const consumer = { consumer: 'workers', shards: 3, members: 5 };
    for (const stream of streams.slice(1, 3))
      readers.push(startMembers(reading, stream, consumer, chance(`members ${stream.name}`)));

    await faults.play(schedule, signal);

    const end = AbortSignal.timeout(endMsMax);
    setMaxListeners(0, end);
    await writers.stop();
    await writers.settle(end);
    await bed.drained();
    // All that is stored stands before this moment: nobody's clock was ever ahead of it.
    const last = bed.clockwork.read().micros + 1_000_000n;
    for (const stream of streams) await putDelay(bed, stream.name, 0, end);
    await Promise.all(readers.map((reader) => reader.passed(last, end)));

    const histories: History['streams'][number][] = [];
    for (const stream of streams) {
      const full = await readAll(reading, stream.name, chance(`full ${stream.name}`), end);
      histories.push(stream.history(full, await countRows(bed, stream.name)));
    }
    const history: History = {
      streams: histories,
      live: bed.watch.live(),
      calm: faults.calm,
      complete: true,
    };
    return {
      seed,
      collectors,
      seconds: (nowMs() - startedMs) / 1_000,
      sent: sum(streams, (stream) => stream.counts.sent),
      acknowledged: sum(streams, (stream) => stream.counts.acknowledged),
      stored: sum(histories, (stream) => stream.rows ?? 0),
      read: sum(streams, (stream) => stream.counts.read),
      worked: sum(streams, (stream) => stream.counts.worked),
      panes: sum(streams, (stream) => stream.counts.panes),
      writes: writers.counts,
      faults: faults.counts,
      verdict: check(history),
      surprises,
    };
  } finally {
    await bed.close();
  }
}

/** The last one is written to by nobody. */
async function makeStreams(bed: Bed): Promise<StreamRecord[]> {
  return [
    await bed.makeStream('instant', 0),
    await bed.makeStream('quick', 200),
    await bed.makeStream('steady', 2_000),
    await bed.makeStream('patient', 5_000),
    await bed.makeStream('changing', 1_000, true),
    await bed.makeStream('idle', 500),
  ];
}

async function countRows({ sql }: Bed, stream: string): Promise<number> {
  const [row] = await sql<[{ rows: number }]>`
    select count(*)::integer as rows from tidemark.events join tidemark.streams using (stream_id) where streams.name = ${stream}`;
  return row.rows;
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
}
