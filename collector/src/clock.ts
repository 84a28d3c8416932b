import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';

/** Time, timers and chance: the only way the collector gets at them. */
export interface Clock {
  /** This machine's wall clock, in microseconds since the Unix epoch. Follows its steps, forward and back. */
  readonly wallMicros: () => bigint;
  /** Milliseconds since some moment, with fractions. Never steps; may stand still while the machine sleeps. */
  readonly monotonicMs: () => number;
  /** Resolves when the time has passed or the signal is aborted, whichever is first: look at the signal afterwards. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Runs the task once after `ms`. The caller owns the timer: what is returned stops it. */
  readonly after: (ms: number, task: () => void) => () => void;
  /** Runs the task every `ms`. The caller owns the timer: what is returned stops it. */
  readonly every: (ms: number, task: () => void) => () => void;
  /** A number in [0, 1), to spread things. Not for secrets. */
  readonly random: () => number;
  /** For keys and ids. */
  readonly randomBytes: (count: number) => Buffer;
}

/** The clock of the running process. */
export function createClock(): Clock {
  return {
    wallMicros: createWallMicros(
      () => Date.now(),
      () => performance.now(),
    ),
    monotonicMs: () => performance.now(),
    sleep,
    after(ms, task) {
      const timer = setTimeout(task, ms);
      return () => clearTimeout(timer);
    },
    every(ms, task) {
      const timer = setInterval(task, ms);
      return () => clearInterval(timer);
    },
    random: () => Math.random(),
    randomBytes: (count) => randomBytes(count),
  };
}

/**
 * The wall clock with microseconds. `Date.now()` follows steps but has whole milliseconds; the monotonic clock has the digits
 * but knows of no step and drifts. So the monotonic clock fills in the digits, and whenever it would leave the millisecond
 * that the wall clock shows, it is set to the nearest end of it. While the wall clock does not step the result does not go back,
 * and it is never more than a millisecond from what the wall clock would say.
 */
export function createWallMicros(wallMs: () => number, monotonicMs: () => number): () => bigint {
  let ahead = wallMs() * 1_000 - monotonicMs() * 1_000;
  return () => {
    const first = wallMs() * 1_000;
    const monotonic = monotonicMs() * 1_000;
    let micros = monotonic + ahead;
    if (micros < first || micros >= first + 1_000) {
      micros = micros < first ? first : first + 999;
      ahead = micros - monotonic;
    }
    return BigInt(Math.floor(micros));
  };
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}

/** Waits for a task, but no longer than so many milliseconds; what the task rejects with then is lost. */
export async function atMost(
  ms: number,
  task: Promise<unknown>,
  { sleep }: Pick<Clock, 'sleep'>,
): Promise<void> {
  const ended = new AbortController();
  try {
    await Promise.race([task, sleep(ms, ended.signal)]);
  } finally {
    ended.abort();
  }
}

/** The database's clock as this collector knows it: what every time on the wire is given in. */
export interface DatabaseClock {
  /** Microseconds since the Unix epoch. Before the first measurement: this machine's wall clock. */
  readonly nowMicros: () => bigint;
  /** The database's clock minus this machine's, in milliseconds; 0 before the first measurement. */
  readonly offsetMs: () => number;
  /** Measures once. Rejects with what `measure` rejects with; what was known then stays. */
  readonly synchronize: () => Promise<void>;
  /** Measures every minute, and when the wall clock stepped, until the signal is aborted. Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export interface DatabaseClockOptions {
  /** After each measurement. `farOff`: the two clocks are more than a second apart. */
  readonly onMeasured?: (measured: { offsetMs: number; roundTripMs: number; farOff: boolean }) => void;
  /** When `run` could not measure: it tries again in a few seconds. */
  readonly onFailed?: (error: unknown) => void;
}

/** Where the database's clock stood at a moment of our monotonic clock. */
interface Sample {
  readonly databaseMicros: bigint;
  readonly monotonicMs: number;
  readonly roundTripMs: number;
  /** Our wall clock minus our monotonic clock at that moment: it changes when the wall clock steps or the machine slept. */
  readonly wallAheadMs: number;
}

const measureEveryMs = 60_000;
const retryAfterMs = 5_000;
const samplesPerMeasurement = 5;
const farOffMs = 1_000;
/** Clocks drift apart by at most so much of the time that passes: what NTP allows itself to slew. */
const driftShare = 500e-6;

/**
 * Measures the database's clock as NTP does: the answer was given in the middle of the round trip, give or take half of it; of a
 * few tries the one with the smallest round trip counts. In between, time goes on with our monotonic clock, so that a step of this
 * machine's wall clock moves nothing; as a machine that slept looks the same from here, a step is answered by measuring again.
 *
 * `measure` asks the database for its clock, in microseconds, with a deadline of its own.
 */
export function createDatabaseClock(
  clock: Clock,
  measure: () => Promise<bigint>,
  options: DatabaseClockOptions = {},
): DatabaseClock {
  let known: Sample | undefined;

  function nowMicros(): bigint {
    return known === undefined ? clock.wallMicros() : at(known, clock.monotonicMs());
  }

  const offsetMs = (): number => (known === undefined ? 0 : Number(nowMicros() - clock.wallMicros()) / 1_000);

  async function takeSample(): Promise<Sample> {
    const wallAheadMs = wallAhead(clock);
    const sent = clock.monotonicMs();
    const databaseMicros = await measure();
    const roundTripMs = clock.monotonicMs() - sent;
    return { databaseMicros, monotonicMs: sent + roundTripMs / 2, roundTripMs, wallAheadMs };
  }

  async function synchronize(): Promise<void> {
    let best = await takeSample();
    for (let taken = 1; taken < samplesPerMeasurement; taken += 1) {
      const sample = await takeSample();
      if (sample.roundTripMs < best.roundTripMs) best = sample;
    }
    if (known === undefined || tellsMore(best, known)) known = best;
    else known = { ...known, wallAheadMs: best.wallAheadMs };
    const offset = offsetMs();
    options.onMeasured?.({
      offsetMs: offset,
      roundTripMs: best.roundTripMs,
      farOff: Math.abs(offset) > farOffMs,
    });
  }

  async function run(signal: AbortSignal): Promise<void> {
    let due = known === undefined ? clock.monotonicMs() : clock.monotonicMs() + measureEveryMs;
    while (!signal.aborted) {
      const stepped = known !== undefined && Math.abs(wallAhead(clock) - known.wallAheadMs) > farOffMs / 2;
      if (clock.monotonicMs() >= due || stepped) {
        try {
          await synchronize();
          due = clock.monotonicMs() + measureEveryMs;
        } catch (error) {
          options.onFailed?.(error);
          await clock.sleep(retryAfterMs, signal);
        }
      } else {
        await clock.sleep(1_000, signal);
      }
    }
  }

  return { nowMicros, offsetMs, synchronize, run };
}

/** A slow round trip says less than a good one of a minute ago, unless the two contradict each other: then a clock stepped. */
function tellsMore(sample: Sample, known: Sample): boolean {
  const doubt = known.roundTripMs / 2 + Math.abs(sample.monotonicMs - known.monotonicMs) * driftShare;
  const apartMs = Math.abs(Number(sample.databaseMicros - at(known, sample.monotonicMs)) / 1_000);
  return sample.roundTripMs / 2 <= doubt || apartMs > sample.roundTripMs / 2 + doubt;
}

function at(sample: Sample, monotonicMs: number): bigint {
  return sample.databaseMicros + BigInt(Math.round((monotonicMs - sample.monotonicMs) * 1_000));
}

function wallAhead(clock: Clock): number {
  return Number(clock.wallMicros()) / 1_000 - clock.monotonicMs();
}
