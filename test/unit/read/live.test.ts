import { describe, expect, test } from 'vitest';
import { createLive, type Newest } from '../../../collector/src/read/live.ts';
import type { Position } from '../../../collector/src/store/page.ts';

/** A database that answers when it is told to, and remembers what it was asked. */
function createNewest() {
  interface Look {
    readonly streamId: number;
    readonly since: bigint;
    answer(newest: Newest | undefined): Promise<void>;
    fail(error: unknown): Promise<void>;
  }
  const looks: Look[] = [];
  let hurries = 0;
  const live = createLive(
    (streamId, since) =>
      new Promise((resolve, reject) => {
        looks.push({
          streamId,
          since,
          answer: (newest) => {
            resolve(newest);
            return settle();
          },
          fail: (error) => {
            reject(error);
            return settle();
          },
        });
      }),
    () => {
      hurries += 1;
    },
  );
  return { live, looks, hurries: () => hurries };
}

const at = (orderTime: bigint, seq = 0n): Position => ({ orderTime, seq });
const never = new AbortController().signal;
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a promise came to, once it has. */
function watch<T>(promise: Promise<T>): { settled: T | Error | undefined } {
  const watched: { settled: T | Error | undefined } = { settled: undefined };
  promise.then(
    (value) => {
      watched.settled = value;
    },
    (error: unknown) => {
      watched.settled = error instanceof Error ? error : new Error(String(error));
    },
  );
  return watched;
}

describe('readers that wait', () => {
  test('of one stream share one look, from the earliest of their positions on', async () => {
    const { live, looks } = createNewest();
    const waits = [at(30n), at(10n, 5n), at(20n)].map((position) =>
      watch(live.next(1, position, undefined, never)),
    );
    live.wake();
    expect(looks.map(({ streamId, since }) => [streamId, since])).toEqual([[1, 10n]]);
    await looks[0]?.answer({ watermark: 25n, last: at(20n, 1n) });
    expect(waits.map(({ settled }) => settled)).toEqual([undefined, true, true]);
    expect(live.count).toBe(1);
  });

  test('of different streams are looked for one by one, and do not wake each other', async () => {
    const { live, looks } = createNewest();
    const first = watch(live.next(1, at(0n), undefined, never));
    const second = watch(live.next(2, at(0n), undefined, never));
    live.wake();
    expect(looks.map(({ streamId }) => streamId)).toEqual([1, 2]);
    await looks[1]?.answer({ watermark: 9n, last: at(5n) });
    expect([first.settled, second.settled]).toEqual([undefined, true]);
  });

  test('go on waiting while the last event is the one they stand at, and wake for one of the same time with a higher seq', async () => {
    const { live, looks } = createNewest();
    const wait = watch(live.next(1, at(10n, 7n), undefined, never));
    live.wake();
    await looks[0]?.answer({ watermark: 20n, last: at(10n, 7n) });
    expect(wait.settled).toBeUndefined();
    live.wake();
    await looks[1]?.answer({ watermark: 20n, last: undefined });
    expect(wait.settled).toBeUndefined();
    live.wake();
    await looks[2]?.answer({ watermark: 30n, last: at(10n, 8n) });
    expect(wait.settled).toBe(true);
    expect(live.count).toBe(0);
  });

  test('end without events when the watermark has reached their end, not before', async () => {
    const { live, looks } = createNewest();
    const wait = watch(live.next(1, at(10n), 100n, never));
    live.wake();
    await looks[0]?.answer({ watermark: 99n, last: undefined });
    expect(wait.settled).toBeUndefined();
    live.wake();
    await looks[1]?.answer({ watermark: 100n, last: undefined });
    expect(wait.settled).toBe(false);
  });

  test('end when their stream is gone', async () => {
    const { live, looks } = createNewest();
    const wait = watch(live.next(1, at(10n), undefined, never));
    live.wake();
    await looks[0]?.answer(undefined);
    expect(wait.settled).toBe(false);
    expect(live.count).toBe(0);
  });

  test('end at once when they give up, before, while and between looks, and leave no listener behind', async () => {
    const { live, looks } = createNewest();
    expect(await live.next(1, at(0n), undefined, AbortSignal.abort())).toBe(false);
    expect(live.count).toBe(0);

    const leaving = new AbortController();
    let listeners = 0;
    const { signal } = leaving;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...parameters: Parameters<typeof add>) => {
      listeners += 1;
      add(...parameters);
    };
    signal.removeEventListener = (...parameters: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...parameters);
    };
    const wait = watch(live.next(1, at(0n), undefined, signal));
    const other = watch(live.next(1, at(50n), undefined, never));
    live.wake();
    leaving.abort();
    await settle();
    expect([wait.settled, listeners]).toEqual([false, 0]);
    await looks[0]?.answer({ watermark: 99n, last: at(60n) });
    expect(other.settled).toBe(true);
  });

  test('are told when the database cannot be asked, and may wait again', async () => {
    const { live, looks } = createNewest();
    const wait = watch(live.next(1, at(0n), undefined, never));
    live.wake();
    await looks[0]?.fail(new Error('connection lost'));
    expect(wait.settled).toEqual(new Error('connection lost'));
    expect(live.count).toBe(0);
    const again = watch(live.next(1, at(0n), undefined, never));
    live.wake();
    await looks[1]?.answer({ watermark: 9n, last: at(5n) });
    expect(again.settled).toBe(true);
  });

  test('are not looked for again while a look is under way, but at the next wake-up', async () => {
    const { live, looks } = createNewest();
    const wait = watch(live.next(1, at(0n), undefined, never));
    live.wake();
    live.wake();
    live.wake();
    expect(looks).toHaveLength(1);
    await looks[0]?.answer({ watermark: 9n, last: undefined });
    live.wake();
    expect(looks).toHaveLength(2);
    await looks[1]?.answer({ watermark: 9n, last: at(5n) });
    expect(wait.settled).toBe(true);
  });

  test('that come while a look is under way are not answered by it: it did not look from their position on', async () => {
    const { live, looks } = createNewest();
    const first = watch(live.next(1, at(100n), undefined, never));
    live.wake();
    const second = watch(live.next(1, at(10n), 50n, never));
    await looks[0]?.answer({ watermark: 200n, last: undefined });
    expect([first.settled, second.settled]).toEqual([undefined, undefined]);
    live.wake();
    expect(looks[1]?.since).toBe(10n);
    await looks[1]?.answer({ watermark: 200n, last: at(40n) });
    expect([first.settled, second.settled]).toEqual([undefined, true]);
  });

  test('hurry the advancer, and nobody is looked for while nobody waits', () => {
    const { live, looks, hurries } = createNewest();
    live.wake();
    expect(looks).toHaveLength(0);
    void live.next(1, at(0n), undefined, never);
    expect(hurries()).toBe(1);
    expect(live.count).toBe(1);
  });
});
