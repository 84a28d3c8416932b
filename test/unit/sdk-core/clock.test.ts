import { describe, expect, test } from 'vitest';
import { createClock } from '../../../sdk-core/src/clock.ts';
import { createDeviceClocks } from './simulation/device.ts';
import { createVirtualTime } from './simulation/virtual-time.ts';

/** A clock on a device that is off by `offsetMs`, and a way to take a sample over ways of different length. */
function setUp(offsetMs: number) {
  const time = createVirtualTime();
  const clocks = createDeviceClocks(time, { offsetMs });
  const clock = createClock({ now: clocks.wall, monotonic: clocks.monotonic });
  const sample = async (upMs: number, downMs: number, workMs = 0): Promise<void> => {
    await clock.measure(async () => {
      await time.runUntil(time.now() + upMs);
      const receivedAt = new Date(time.trueMs()).toISOString();
      await time.runUntil(time.now() + workMs);
      const respondedAt = new Date(time.trueMs()).toISOString();
      await time.runUntil(time.now() + downMs);
      return { status: 200, body: JSON.stringify({ receivedAt, respondedAt }) };
    });
  };
  return { time, clocks, clock, sample };
}

describe('the clock offset', () => {
  test('is server clock minus client clock, and the work of the server is no part of the round trip', async () => {
    const { clock, sample } = setUp(90_000);
    expect(clock.best()).toBeUndefined();
    await sample(20, 20, 5_000);
    expect(clock.best()).toEqual({ offsetMs: -90_000, rttMs: 40 });
  });

  test('is that of the smallest round trip of the last eight', async () => {
    const { time, clock, sample } = setUp(0);
    await sample(10, 30);
    expect(clock.best()).toEqual({ offsetMs: -10, rttMs: 40 });
    await sample(1, 1);
    for (let index = 0; index < 7; index++) {
      await time.runUntil(time.now() + 30_000);
      await sample(100, 100 + index);
    }
    expect(clock.best()?.rttMs).toBe(2);
    await time.runUntil(time.now() + 30_000);
    await sample(100, 100);
    expect(clock.best()?.rttMs).toBe(200);
  });

  test('outlives a busy minute: replies that are no better count once in 30 s', async () => {
    const { clock, sample } = setUp(0);
    await sample(1, 1);
    for (let index = 0; index < 20; index++) await sample(1_000, 50);
    expect(clock.best()?.rttMs).toBe(2);
  });

  test('starts over when the wall clock steps by more than two seconds, and not before', async () => {
    const { clocks, clock, sample } = setUp(0);
    await sample(5, 5);
    clocks.step(1_900);
    clock.now();
    expect(clock.best()).toBeDefined();
    clocks.step(-2_100);
    clock.now();
    expect(clock.best()).toBeUndefined();
  });

  test('takes no sample of a request during which the clock stepped', async () => {
    const { time, clocks, clock } = setUp(0);
    await clock.measure(() => {
      clocks.step(10_000);
      const now = new Date(time.trueMs()).toISOString();
      return Promise.resolve({ status: 200, body: JSON.stringify({ receivedAt: now, respondedAt: now }) });
    });
    expect(clock.best()).toBeUndefined();
  });

  test('takes no sample of an answer without times', async () => {
    const { clock } = setUp(0);
    for (const body of ['<html>', '{"receivedAt":5}', 'null']) {
      await clock.measure(() => Promise.resolve({ status: 200, body }));
    }
    expect(clock.best()).toBeUndefined();
  });
});

describe('after a step', () => {
  test('back, what was stamped before is restated by its age; what is stamped after it is not', async () => {
    const { time, clocks, clock } = setUp(0);
    const before = clock.elapsed();
    await time.runUntil(60_000);
    clocks.step(-3_600_000);
    clock.now();
    const after = clock.elapsed();
    expect(clock.restated(before)).toBe(clocks.wall() - 60_000);
    await time.runUntil(70_000);
    expect(clock.restated(before)).toBe(clocks.wall() - 70_000);
    expect(clock.restated(after)).toBeUndefined();
  });

  test('forward, or back by less than a second, nothing is restated', async () => {
    const { time, clocks, clock } = setUp(0);
    const before = clock.elapsed();
    await time.runUntil(1_000);
    clocks.step(3_600_000);
    clock.now();
    clocks.step(-900);
    clock.now();
    expect(clock.restated(before)).toBeUndefined();
  });
});

describe('elapsed time', () => {
  test('counts sleep that the monotonic clock did not see, once a sample has told it from a clock put right', async () => {
    const { time, clock, sample } = setUp(5_000);
    await sample(5, 5);
    const before = clock.elapsed();
    time.sleep(3_600_000);
    clock.now();
    await sample(5, 5);
    expect(clock.elapsed() - before).toBeCloseTo(3_600_010, 0);
  });

  test('does not count a clock put right', async () => {
    const { clocks, clock, sample } = setUp(-40 * 365 * 86_400_000);
    await sample(5, 5);
    const before = clock.elapsed();
    clocks.step(40 * 365 * 86_400_000);
    clock.now();
    await sample(5, 5);
    expect(clock.elapsed() - before).toBeCloseTo(10, 0);
  });
});
