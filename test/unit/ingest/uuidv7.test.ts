import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createUuidv7 } from '../../../collector/src/ingest/uuidv7.ts';

const versionSeven = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const ones = (length: number) => new Uint8Array(length).fill(0xff);

describe('generated ids', () => {
  test('carry the time in milliseconds, the version and the variant', () => {
    const uuidv7 = createUuidv7(ones);
    expect(uuidv7(0x018f6b1e7c1a)).toBe('018f6b1e-7c1a-77ff-bfff-ffffffffffff');
    expect(uuidv7(0x018f6b1e7c1b)).toBe('018f6b1e-7c1b-77ff-bfff-ffffffffffff');
  });

  test('are different and rise, whatever the clock does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(2 ** 47), { minLength: 2, maxLength: 200 }),
        fc.uint8Array({ minLength: 1, maxLength: 30 }),
        (times, random) => {
          const uuidv7 = createUuidv7((length) =>
            Uint8Array.from({ length }, (_, at) => random[at % random.length] ?? 0),
          );
          const made = times.map(uuidv7);
          for (const id of made) expect(id).toMatch(versionSeven);
          expect(made).toEqual(made.toSorted());
          expect(new Set(made).size).toBe(made.length);
        },
      ),
    );
  });

  test('rise through 10,000 in one millisecond', () => {
    const uuidv7 = createUuidv7(ones);
    const made = Array.from({ length: 10_000 }, () => uuidv7(1_764_000_000_000));
    expect(made).toEqual(made.toSorted());
    expect(new Set(made).size).toBe(made.length);
    const lastMs = Number.parseInt(made.at(-1)?.replace('-', '').slice(0, 12) ?? '', 16);
    expect(lastMs).toBe(1_764_000_000_002);
  });
});
