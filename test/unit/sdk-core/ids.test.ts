import { describe, expect, test } from 'vitest';
import { createIds } from '../../../sdk-core/src/ids.ts';
import { createChance } from './simulation/chance.ts';

/** As the protocol reference has it. */
function numberOf(id: string): number {
  return Number.parseInt(id.slice(15, 18), 16) * 16_384 + (Number.parseInt(id.slice(19, 23), 16) & 0x3fff);
}

describe('ids', () => {
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

  test('are UUIDv7 and carry the time', () => {
    const id = createIds(createChance(1).next)(1_767_225_600_123);
    expect(id).toMatch(form);
    expect(Number.parseInt(id.slice(0, 13).replace('-', ''), 16)).toBe(1_767_225_600_123);
  });

  test('ascend inside a millisecond, over ten thousand of them, and when the clock is set back', () => {
    const next = createIds(createChance(2).next);
    const ids = [
      ...Array.from({ length: 10_000 }, () => next(1_000)),
      next(500),
      next(1_000),
      next(2_000),
      next(2_000.7),
      next(1_999),
    ];
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(form);
  });

  test('tell the session and the number in it, so that a reader sees what is missing or out of order', () => {
    const next = createIds(createChance(4).next);
    const ids = Array.from({ length: 40_000 }, (_, index) => next(5_000 + index / 100));
    expect(new Set(ids.map((id) => id.slice(24))).size).toBe(1);
    expect(ids.map(numberOf)).toEqual(ids.map((_, index) => index));
  });

  test('of two clients in the same millisecond differ', () => {
    const chance = createChance(3);
    const ids = Array.from({ length: 1_000 }, () => createIds(chance.next)(5));
    expect(new Set(ids).size).toBe(1_000);
  });
});
