import { describe, expect, test } from 'vitest';
import { createFairQueue } from '../../../collector/src/ingest/fair-queue.ts';

interface Item {
  readonly sender: string;
  readonly rows: readonly number[];
  readonly weight: number;
  readonly sinceMs: number;
}

let nowMs = 0;

function item(sender: string, rows: number, weight = rows): Item {
  nowMs += 1;
  return { sender, rows: Array.from({ length: rows }, (_, at) => at), weight, sinceMs: nowMs };
}

const rowsOf = (items: readonly Item[], sender: string): number =>
  items.filter((one) => one.sender === sender).reduce((sum, { rows }) => sum + rows.length, 0);

describe('the queue before the writers', () => {
  test('gives up to so many rows, and one item however large it is', () => {
    const queue = createFairQueue<Item>();
    const items = [item('a', 5), item('a', 5), item('a', 1), item('a', 5_000), item('a', 1)];
    for (const one of items) queue.push(one);
    expect(queue.take(10)).toEqual(items.slice(0, 2));
    expect(queue.take(10)).toEqual([items[2]]);
    expect(queue.length).toBe(2);
    expect(queue.take(10)).toEqual([items[3]]);
    expect(queue.take(10)).toEqual([items[4]]);
    expect(queue.take(10)).toEqual([]);
    expect(queue.length).toBe(0);
  });

  test('goes by weight: large events are few in a transaction', () => {
    const queue = createFairQueue<Item>();
    for (let count = 0; count < 100; count++) queue.push(item('large', 1, 30));
    expect(queue.take(300)).toHaveLength(10);
  });

  test('gives a sender that brings little its turn, whatever another has waiting', () => {
    const queue = createFairQueue<Item>();
    for (let count = 0; count < 1_000; count++) queue.push(item('flood', 1_000));
    queue.push(item('little', 10));
    const groups = [queue.take(2_000), queue.take(2_000)];
    expect(rowsOf(groups.flat(), 'little')).toBe(10);
  });

  test('gives senders that always have something waiting the same number of rows, whatever the size of their batches', () => {
    const queue = createFairQueue<Item>();
    const sizes: readonly (readonly [string, number])[] = [
      ['large', 1_000],
      ['middle', 70],
      ['small', 1],
    ];
    const taken: Item[] = [];
    const waiting = new Map<string, number>();
    for (let turn = 0; turn < 200; turn++) {
      for (const [sender, rows] of sizes) {
        while ((waiting.get(sender) ?? 0) < 4_000) {
          queue.push(item(sender, rows));
          waiting.set(sender, (waiting.get(sender) ?? 0) + rows);
        }
      }
      const group = queue.take(2_000);
      for (const { sender, rows } of group) waiting.set(sender, (waiting.get(sender) ?? 0) - rows.length);
      taken.push(...group);
    }
    const shares = sizes.map(([sender]) => rowsOf(taken, sender));
    expect(Math.min(...shares) / Math.max(...shares)).toBeGreaterThan(0.95);
  });

  test('keeps the order of each sender, and gives a group in the order in which its items came', () => {
    const queue = createFairQueue<Item>();
    const items = [item('a', 150), item('b', 150), item('a', 150), item('b', 1), item('a', 1)];
    for (const one of items) queue.push(one);
    expect(queue.take(2_000)).toEqual(items);
  });

  test('says since when the oldest item waits, of one sender and of all', () => {
    const queue = createFairQueue<Item>();
    expect([queue.oldestSinceMs(), queue.oldestSinceMs('a')]).toEqual([undefined, undefined]);
    const [first, second, third] = [item('a', 1), item('b', 1), item('a', 1)];
    for (const one of [first, second, third]) queue.push(one);
    expect([queue.oldestSinceMs(), queue.oldestSinceMs('b')]).toEqual([first.sinceMs, second.sinceMs]);
    queue.take(1);
    expect([queue.oldestSinceMs(), queue.oldestSinceMs('a')]).toEqual([second.sinceMs, third.sinceMs]);
  });
});
