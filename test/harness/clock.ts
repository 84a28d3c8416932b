import { createHash } from 'node:crypto';
import type { Clock } from '../../collector/src/clock.ts';

/** Time that stands still until a test moves it. */
export interface FakeClock extends Clock {
  /** Lets time pass: what is due runs at its moment, in order, and so does what that starts. */
  advance(ms: number): Promise<void>;
  /** Moves the wall clock alone, as an operator or NTP does. */
  stepWall(ms: number): void;
  /** Timers and sleepers that wait. */
  waiting(): number;
}

/** Begins at 2026-01-01T00:00:00Z, unless told otherwise. The same seed gives the same chance. */
export function createFakeClock({ startMicros = 1_767_225_600_000_000n, seed = 1 } = {}): FakeClock {
  interface Timer {
    dueMs: number;
    readonly everyMs: number | undefined;
    readonly task: () => void;
  }
  const timers = new Set<Timer>();
  let nowMs = 0;
  let steppedMs = 0;
  let state = seed;

  function add(ms: number, everyMs: number | undefined, task: () => void): () => void {
    const timer = { dueMs: nowMs + Math.max(ms, 0), everyMs, task };
    timers.add(timer);
    return () => timers.delete(timer);
  }

  async function advance(ms: number): Promise<void> {
    const endMs = nowMs + ms;
    await settle();
    for (;;) {
      const [next] = [...timers].filter((timer) => timer.dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      nowMs = Math.max(nowMs, next.dueMs);
      if (next.everyMs === undefined) timers.delete(next);
      else next.dueMs += next.everyMs;
      next.task();
      await settle();
    }
    nowMs = endMs;
  }

  return {
    wallMicros: () => startMicros + BigInt(Math.round((nowMs + steppedMs) * 1_000)),
    monotonicMs: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) {
          resolve();
          return;
        }
        const end = (): void => {
          stop();
          signal?.removeEventListener('abort', end);
          resolve();
        };
        const stop = add(ms, undefined, end);
        signal?.addEventListener('abort', end);
      }),
    after: (ms, task) => add(ms, undefined, task),
    every: (ms, task) => add(ms, ms, task),
    random: () => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    },
    randomBytes: (count) => {
      state = (state * 48_271) % 2_147_483_647;
      const blocks = Array.from({ length: Math.ceil(count / 32) }, (_, block) =>
        createHash('sha256').update(`${state} ${block}`).digest(),
      );
      return Buffer.concat(blocks).subarray(0, count);
    },
    advance,
    stepWall: (ms) => {
      steppedMs += ms;
    },
    waiting: () => timers.size,
  };
}

/** Everything that can go on without time passing has gone on: promises, and what they start. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
