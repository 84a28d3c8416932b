import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cursor, decodeCursor, encodeCursor } from '../../../collector/src/read/cursor.ts';
import { runs } from '../../harness/seed.ts';

const int64Min = -(1n << 63n);
const int64Max = (1n << 63n) - 1n;
const alphabet = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz';

/** The whole range, and often its ends, zero and neighbours: where sign and carry go wrong. */
const int64 = fc.oneof(
  fc.bigInt(int64Min, int64Max),
  fc.constantFrom(int64Min, int64Min + 1n, -256n, -1n, 0n, 1n, 255n, 65_536n, int64Max - 1n, int64Max),
);
const seq = int64.map((value) => (value < 0n ? ~value : value));
const epoch = fc.oneof(fc.integer({ min: 1, max: 0x7fffffff }), fc.constantFrom(1, 2, 0x7fffffff));
const position = fc.record({ orderTime: int64, seq });
const cursor = fc.record({ identity: int64, epoch, position });

const encode = ({ identity, epoch, position }: Cursor): string => encodeCursor(identity, epoch, position);

describe('a cursor', () => {
  test('G6 comes back as the very position it was made from, to the microsecond, before 1970 and at the ends of time', () => {
    fc.assert(
      fc.property(cursor, (made) => {
        expect(decodeCursor(encode(made))).toEqual(made);
      }),
      runs(2_000),
    );
  });

  test('is at most 64 characters that need no escape in a URL', () => {
    fc.assert(
      fc.property(cursor, (made) => {
        const text = encode(made);
        expect(text.length).toBeLessThanOrEqual(64);
        expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(encodeURIComponent(text)).toBe(text);
      }),
      runs(500),
    );
  });

  test('G7 sorts bytewise as its position does, among the cursors of one stream and epoch', () => {
    const near = fc.record({ orderTime: fc.bigInt(-300n, 300n), seq: fc.bigInt(0n, 70_000n) });
    const pair = fc.oneof(fc.tuple(position, position), fc.tuple(near, near));
    fc.assert(
      fc.property(int64, epoch, pair, (identity, epoch, [a, b]) => {
        const byPosition = compare(a.orderTime, b.orderTime) || compare(a.seq, b.seq);
        const texts = [a, b].map((place) => Buffer.from(encodeCursor(identity, epoch, place)));
        expect(Buffer.compare(texts[0] ?? Buffer.of(), texts[1] ?? Buffer.of())).toBe(byPosition);
      }),
      runs(3_000),
    );
  });

  test('is refused after any change of a single character', () => {
    fc.assert(
      fc.property(cursor, (made) => {
        const text = encode(made);
        for (let at = 0; at < text.length; at++) {
          for (const character of alphabet) {
            if (character === text[at]) continue;
            expect(decodeCursor(text.slice(0, at) + character + text.slice(at + 1))).toBeUndefined();
          }
        }
      }),
      runs(20),
    );
  });

  test('is refused when two neighbouring characters changed places', () => {
    fc.assert(
      fc.property(cursor, (made) => {
        const text = encode(made);
        for (let at = 0; at + 1 < text.length; at++) {
          const [a = '', b = ''] = text.slice(at);
          if (a !== b) expect(decodeCursor(text.slice(0, at) + b + a + text.slice(at + 2))).toBeUndefined();
        }
      }),
      runs(200),
    );
  });

  test('is refused when it is cut, longer, empty, or made of other characters', () => {
    const text = encodeCursor(7n, 1, { orderTime: 1_767_225_600_000_001n, seq: 65_537n });
    for (let length = 0; length < text.length; length++) {
      expect(decodeCursor(text.slice(0, length))).toBeUndefined();
      expect(decodeCursor(text.slice(text.length - length))).toBeUndefined();
    }
    expect(decodeCursor(`${text}-`)).toBeUndefined();
    for (const stranger of ['+', '/', '=', ' ', '\0', 'é', '%', '.']) {
      expect(decodeCursor(stranger + text.slice(1))).toBeUndefined();
      expect(decodeCursor(text.slice(0, -1) + stranger)).toBeUndefined();
    }
    expect(decodeCursor('🌊'.repeat(22))).toBeUndefined();
  });

  test('is never read out of text that is none', () => {
    const text = fc.string({ unit: fc.constantFrom(...alphabet.split('')), minLength: 44, maxLength: 44 });
    fc.assert(
      fc.property(fc.oneof(text, fc.string()), (text) => {
        expect(decodeCursor(text)).toBeUndefined();
      }),
      runs(2_000),
    );
  });

  test('keeps its form: a client that stored one today can go on with it after an update', () => {
    const stored = encodeCursor(-6_148_914_691_236_517_206n, 3, { orderTime: -1n, seq: 131_073n });
    expect(stored).toBe('-Peeeeeeeeee-----rzzzzzzzzzz-------1--3AmKn3');
  });
});

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
