import { expect, test } from 'vitest';
import { createTurns } from '../../../collector/src/read/turns.ts';

/** Work that has begun, and ends when it is told to. */
function createWork() {
  const begun: number[] = [];
  const ends = new Map<number, (error?: Error) => void>();
  return {
    begun,
    start: (number: number) => () =>
      new Promise<number>((resolve, reject) => {
        begun.push(number);
        ends.set(number, (error) => (error === undefined ? resolve(number) : reject(error)));
      }),
    end: (number: number, error?: Error) => ends.get(number)?.(error),
  };
}

test('G5 so much work is done at once, the rest in the order in which it came', async () => {
  const takeTurn = createTurns(2);
  const work = createWork();
  const all = [1, 2, 3, 4].map((number) => takeTurn(work.start(number)));
  expect(work.begun).toEqual([1, 2]);
  work.end(2);
  await all[1];
  await expect.poll(() => work.begun).toEqual([1, 2, 3]);
  work.end(1);
  work.end(3);
  await expect.poll(() => work.begun).toEqual([1, 2, 3, 4]);
  work.end(4);
  expect(await Promise.all(all)).toEqual([1, 2, 3, 4]);
});

test('work that fails gives its turn to the next', async () => {
  const takeTurn = createTurns(1);
  const work = createWork();
  const failing = takeTurn(work.start(1));
  const next = takeTurn(work.start(2));
  work.end(1, new Error('broken'));
  await expect(failing).rejects.toThrow('broken');
  await expect.poll(() => work.begun).toEqual([1, 2]);
  work.end(2);
  expect(await next).toBe(2);
  const last = takeTurn(work.start(3));
  expect(work.begun).toEqual([1, 2, 3]);
  work.end(3);
  await last;
});
