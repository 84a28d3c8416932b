import { describe, expect, test } from 'vitest';
import { createClock, createDatabaseClock, createWallMicros } from '../../../collector/src/clock.ts';
import { createFakeClock } from '../../harness/clock.ts';

describe('the wall clock', () => {
  function createMachine(): {
    wallMicros: () => bigint;
    pass: (ms: number) => void;
    step: (ms: number) => void;
  } {
    let nowMs = 1_000_000.25;
    let steppedMs = 0;
    const wallMicros = createWallMicros(
      () => Math.floor(nowMs + steppedMs),
      () => nowMs * (1 + 100e-6),
    );
    return {
      wallMicros,
      pass: (ms) => {
        nowMs += ms;
      },
      step: (ms) => {
        steppedMs += ms;
      },
    };
  }

  test('has microseconds, never goes back, and stays within a millisecond although the two clocks drift', () => {
    const machine = createMachine();
    let last = 0n;
    let wentBack = 0;
    let worst = 0;
    const digits = new Set<bigint>();
    for (let passedMs = 0; passedMs < 1_000; passedMs += 0.01) {
      machine.pass(0.01);
      const now = machine.wallMicros();
      if (now < last) wentBack += 1;
      worst = Math.max(worst, Math.abs(Number(now) - (1_000_000_260 + passedMs * 1_000)));
      digits.add(now % 1_000n);
      last = now;
    }
    expect(wentBack).toBe(0);
    expect(worst).toBeLessThanOrEqual(1_000);
    expect(digits.size).toBeGreaterThan(500);
  });

  test.each([3_600_000, -3_600_000, 1_500, -5])('follows a step of %i ms at once', (stepMs) => {
    const machine = createMachine();
    const before = machine.wallMicros();
    machine.step(stepMs);
    expect(Math.abs(Number(machine.wallMicros() - before) - stepMs * 1_000)).toBeLessThanOrEqual(1_000);
  });

  test('is the one of the machine', () => {
    const apart = Number(createClock().wallMicros()) / 1_000 - Date.now();
    expect(Math.abs(apart)).toBeLessThan(1_000);
  });
});

describe('timers', () => {
  test('a sleep ends early when its signal is aborted, and does not begin when it was', async () => {
    const clock = createClock();
    const controller = new AbortController();
    const asleep = clock.sleep(60_000, controller.signal);
    controller.abort();
    await asleep;
    await clock.sleep(60_000, controller.signal);
    await clock.sleep(1);
  });

  test('run until their owner stops them', async () => {
    const clock = createClock();
    let ticks = 0;
    await new Promise<void>((resolve) => {
      const stop = clock.every(1, () => {
        ticks += 1;
        if (ticks === 3) {
          stop();
          resolve();
        }
      });
    });
    const stop = clock.after(1, () => {
      ticks += 1;
    });
    stop();
    await clock.sleep(20);
    expect(ticks).toBe(3);
  });
});

describe('the database clock', () => {
  function createDatabase(aheadMs: number) {
    const clock = createFakeClock();
    const database = { aheadMs, delaysMs: [0], backMs: 0, asked: 0, away: false };
    const measured: { offsetMs: number; roundTripMs: number; farOff: boolean }[] = [];
    const failures: unknown[] = [];
    const start = clock.wallMicros();
    const truth = (): bigint => start + BigInt(Math.round((clock.monotonicMs() + database.aheadMs) * 1_000));
    const databaseClock = createDatabaseClock(
      clock,
      async () => {
        if (database.away) throw new Error('away');
        const delayMs = database.delaysMs[database.asked % database.delaysMs.length] ?? 0;
        database.asked += 1;
        await clock.sleep(delayMs);
        const answer = truth();
        await clock.sleep(database.backMs);
        return answer;
      },
      { onMeasured: (one) => measured.push(one), onFailed: (error) => failures.push(error) },
    );
    const errorMs = (): number => Number(databaseClock.nowMicros() - truth()) / 1_000;
    return { clock, database, databaseClock, measured, failures, errorMs };
  }

  test('is the wall clock until it was measured', () => {
    const { clock, databaseClock } = createDatabase(5_000);
    expect(databaseClock.nowMicros()).toBe(clock.wallMicros());
    expect(databaseClock.offsetMs()).toBe(0);
  });

  test('takes the sample with the smallest round trip, and its middle', async () => {
    const { clock, database, databaseClock, measured, errorMs } = createDatabase(5_000);
    database.delaysMs = [400, 90, 2, 300, 80];
    database.backMs = 2;
    const done = databaseClock.synchronize();
    await clock.advance(2_000);
    await done;
    expect(errorMs()).toBe(0);
    expect(measured).toEqual([{ offsetMs: 5_000, roundTripMs: 4, farOff: true }]);
  });

  test('is not moved by a step of this machine, which it answers by measuring again', async () => {
    const { clock, database, databaseClock, measured, errorMs } = createDatabase(200);
    const controller = new AbortController();
    const running = databaseClock.run(controller.signal);
    await clock.advance(10);
    expect(measured).toEqual([{ offsetMs: 200, roundTripMs: 0, farOff: false }]);

    clock.stepWall(3_600_000);
    expect(errorMs()).toBe(0);
    await clock.advance(1_000);
    expect(measured).toHaveLength(2);
    expect(measured[1]).toMatchObject({ offsetMs: 200 - 3_600_000, farOff: true });
    expect(errorMs()).toBe(0);

    await clock.advance(30_000);
    expect(measured).toHaveLength(2);
    controller.abort();
    await running;
    expect(database.asked).toBe(10);
    expect(clock.waiting()).toBe(0);
  });

  test('measures every minute, and follows the database when its clock stepped', async () => {
    const { clock, database, databaseClock, measured, errorMs } = createDatabase(0);
    const controller = new AbortController();
    const running = databaseClock.run(controller.signal);
    await clock.advance(59_000);
    expect(measured).toHaveLength(1);
    database.aheadMs = -7_000;
    await clock.advance(2_000);
    expect(measured).toHaveLength(2);
    expect(errorMs()).toBe(0);
    controller.abort();
    await running;
  });

  test('does not give up a good sample for a slow one that agrees with it', async () => {
    const { clock, database, databaseClock, errorMs } = createDatabase(0);
    const first = databaseClock.synchronize();
    await clock.advance(0);
    await first;
    database.delaysMs = [900];
    const done = databaseClock.synchronize();
    await clock.advance(10_000);
    await done;
    expect(errorMs()).toBe(0);
  });

  test('goes on with what it knows while the database is away, and says so', async () => {
    const { clock, database, databaseClock, measured, failures, errorMs } = createDatabase(300);
    const controller = new AbortController();
    const running = databaseClock.run(controller.signal);
    await clock.advance(1_000);
    database.away = true;
    await clock.advance(70_000);
    expect(failures.length).toBeGreaterThanOrEqual(2);
    expect(errorMs()).toBe(0);
    database.away = false;
    await clock.advance(6_000);
    expect(measured).toHaveLength(2);
    controller.abort();
    await running;
  });
});
