import { describe, expect, test } from 'vitest';
import { startAdvanceLoop } from '../../collector/src/store/advance-loop.ts';
import { createFakeClock } from '../harness/clock.ts';

/** A loop whose ticks take as long as the test says, on a clock that the test moves. */
function createCase() {
  const clock = createFakeClock();
  const began: number[] = [];
  const published: bigint[] = [];
  const failures: unknown[] = [];
  const setting = { busy: false, tickMs: 0, fails: false };
  const loop = startAdvanceLoop({
    async tick() {
      began.push(clock.monotonicMs());
      if (setting.tickMs > 0) await clock.sleep(setting.tickMs);
      if (setting.fails) throw new Error('connection lost');
      return BigInt(began.length);
    },
    busy: () => setting.busy,
    onPublished: (floor) => published.push(floor),
    onFailure: (error) => failures.push(error),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    monotonicMs: clock.monotonicMs,
    busyIntervalMs: 100,
    idleIntervalMs: 1_000,
  });
  return { loop, clock, began, published, failures, setting };
}

describe('the advance loop', () => {
  test('ticks every second while nothing happens, every 100 ms while something does', async () => {
    const { loop, clock, began, published, setting } = createCase();
    await clock.advance(3_050);
    expect(began).toEqual([0, 1_000, 2_000, 3_000]);
    setting.busy = true;
    await clock.advance(450);
    expect(began.slice(4)).toEqual([3_100, 3_200, 3_300, 3_400, 3_500]);
    setting.busy = false;
    await clock.advance(2_000);
    expect(began.slice(9)).toEqual([4_500, 5_500]);
    expect(published).toEqual(began.map((_, index) => BigInt(index + 1)));
    await loop.stop();
  });

  test('counts the interval from the beginning of a tick, and leaves a breath after one that took longer', async () => {
    const { loop, clock, began, setting } = createCase();
    setting.busy = true;
    setting.tickMs = 60;
    await clock.advance(250);
    expect(began).toEqual([0, 100, 200]);
    setting.tickMs = 300;
    await clock.advance(1_000);
    expect(began.slice(3)).toEqual([300, 605, 910, 1_215]);
    setting.tickMs = 0;
    await clock.advance(1_000);
    await loop.stop();
  });

  test('ticks at once when somebody hurries it out of its rest, but no more often than every 100 ms', async () => {
    const { loop, clock, began } = createCase();
    await clock.advance(500);
    loop.hurry();
    await clock.advance(0);
    expect(began).toEqual([0, 500]);
    for (let turn = 0; turn < 50; turn++) {
      loop.hurry();
      await clock.advance(10);
    }
    expect(began).toEqual([0, 500, 600, 700, 800, 900, 1_000]);
    await loop.stop();
  });

  test('remembers that somebody hurried it while it ticked', async () => {
    const { loop, clock, began, setting } = createCase();
    setting.tickMs = 50;
    await clock.advance(1_020);
    loop.hurry();
    await clock.advance(200);
    expect(began).toEqual([0, 1_000, 1_100]);
    await clock.advance(0);
    setting.tickMs = 0;
    await loop.stop();
  });

  test('goes on after a tick that failed', async () => {
    const { loop, clock, began, published, failures, setting } = createCase();
    setting.busy = true;
    setting.fails = true;
    await clock.advance(250);
    setting.fails = false;
    await clock.advance(100);
    expect(began).toEqual([0, 100, 200, 300]);
    expect(failures).toEqual([new Error('connection lost'), new Error('connection lost')]);
    expect(published).toEqual([1n, 4n]);
    await loop.stop();
  });

  test('stops out of its rest at once, and out of a tick when that has ended', async () => {
    const resting = createCase();
    await resting.clock.advance(300);
    await resting.loop.stop();
    expect(resting.clock.waiting()).toBe(0);

    const ticking = createCase();
    await ticking.clock.advance(950);
    ticking.setting.tickMs = 200;
    await ticking.clock.advance(100);
    let stopped = false;
    const stop = ticking.loop.stop().then(() => {
      stopped = true;
    });
    await ticking.clock.advance(50);
    expect(stopped).toBe(false);
    await ticking.clock.advance(100);
    await stop;
    await ticking.clock.advance(5_000);
    expect(ticking.began).toEqual([0, 1_000]);
    expect(ticking.clock.waiting()).toBe(0);
  });
});
