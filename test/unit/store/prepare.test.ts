import { describe, expect, test } from 'vitest';
import { createLog } from '../../../collector/src/log.ts';
import { whenReachable } from '../../../collector/src/store/prepare.ts';
import { createFakeClock, type FakeClock } from '../../harness/clock.ts';

describe('a start while the database comes and goes', () => {
  test('begins again where it lost the database on the way', async () => {
    const clock = createFakeClock();
    let tries = 0;
    const started = whenReachable(async () => {
      tries += 1;
      if (tries < 3) throw lost();
      return 'ready';
    }, options(clock));
    await clock.advance(10_000);
    expect(await started).toBe('ready');
    expect(tries).toBe(3);
  });

  test('gives up at the deadline, and at once for any other failure', async () => {
    const clock = createFakeClock();
    const failed = failureOf(whenReachable(() => Promise.reject(lost()), options(clock)));
    await clock.advance(58_500);
    expect(clock.waiting()).toBe(1);
    await clock.advance(1_500);
    expect(await failed).toMatchObject({ message: 'read ECONNRESET' });
    expect(clock.waiting()).toBe(0);

    const wrong = new Error('no such column');
    await expect(whenReachable(() => Promise.reject(wrong), options(clock))).rejects.toBe(wrong);
  });

  test('ends with the signal', async () => {
    const clock = createFakeClock();
    const stop = new AbortController();
    const failed = failureOf(whenReachable(() => Promise.reject(lost()), options(clock, stop.signal)));
    await clock.advance(500);
    stop.abort('stopped');
    expect(await failed).toBe('stopped');
  });
});

function options(clock: FakeClock, signal = new AbortController().signal) {
  return { clock, log: createLog({ level: 'silent' }), signal, deadlineMs: 60_000 };
}

function failureOf(task: Promise<unknown>): Promise<unknown> {
  return task.then(
    () => undefined,
    (error: unknown) => error,
  );
}

function lost(): Error {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
}
