import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { numericHolds } from '../../../collector/src/ingest/decode-number.ts';

function holds(text: string): boolean {
  const bytes = Buffer.from(`x${text}x`);
  return numericHolds(bytes, 1, bytes.length - 1);
}

describe('numbers that Postgres numeric can hold', () => {
  test.each([
    ['0', true],
    ['-0.0', true],
    ['12345678901234567890.123456789', true],
    ['1e131071', true],
    ['1e131072', false],
    ['-9.9E+131071', true],
    ['-9.9E+131072', false],
    ['0.1e131072', true],
    ['0.1e131073', false],
    ['100e131069', true],
    ['100e131070', false],
    ['1e-16383', true],
    ['1e-16384', false],
    ['1.5e-16382', true],
    ['1.5e-16383', false],
    ['0e-16384', false],
    ['0e999999999', true],
    ['0e1073741823', false],
    ['1e-99999999999999999999', false],
    ['1e99999999999999999999', false],
    ['1e000000000000000000000000000005', true],
  ])('%s: %s', (text, expected) => {
    expect(holds(text)).toBe(expected);
  });

  test('are those with up to 131072 digits before the point and 16383 behind it', () => {
    expect(holds('9'.repeat(131_072))).toBe(true);
    expect(holds('9'.repeat(131_073))).toBe(false);
    expect(holds(`-0.${'1'.repeat(16_383)}`)).toBe(true);
    expect(holds(`-0.${'1'.repeat(16_384)}`)).toBe(false);
    expect(holds(`${'9'.repeat(131_072)}.${'1'.repeat(16_383)}`)).toBe(true);
    expect(holds(`0.${'0'.repeat(20_000)}1e20000`)).toBe(true);
    expect(holds(`${'9'.repeat(131_073)}e-1`)).toBe(true);
  });

  test('are all those of JavaScript', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) =>
        holds(JSON.stringify(value)),
      ),
    );
  });
});
