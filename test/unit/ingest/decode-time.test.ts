import { earliestMicros, formatTime, latestMicros, parseTime } from '@tidemark/core/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { usualTime } from '../../../collector/src/ingest/decode-time.ts';

function read(text: string): bigint | undefined {
  const bytes = Buffer.from(`"${text}"`);
  const micros = usualTime(bytes, 1, bytes.length - 1);
  return micros < 0 ? undefined : BigInt(micros);
}

const usual = fc.bigInt({ min: 0n, max: (parseTime('2200-01-01T00:00:00Z') ?? 0n) - 1n });
const any = fc.bigInt({ min: earliestMicros, max: latestMicros });

/** Times, with changes that make them others, or none. */
const bent = fc
  .tuple(
    fc.oneof(usual, usual, any).map(formatTime),
    fc.oneof(fc.constantFrom(19, 23, 26), fc.integer({ min: 16, max: 27 })),
    fc.constantFrom('Z', 'Z', 'Z', 'z', '+00:00', '-01:30', '', 'ZZ'),
    fc.nat(26),
    fc.constantFrom(...Array.from(' 0693:.-ZT/'), '٣', '', '', '', ''),
  )
  .map(([time, length, zone, at, put]) => {
    const text = time.slice(0, length) + zone;
    return put === '' ? text : text.slice(0, at) + put + text.slice(at + 1);
  });

describe('times in their usual form', () => {
  test('are read as parseTime reads them, with any number of digits behind the point up to six', () => {
    fc.assert(
      fc.property(usual, fc.constantFrom(19, 21, 22, 23, 24, 25, 26), (micros, length) => {
        const text = `${formatTime(micros).slice(0, length)}Z`;
        expect([text, read(text)]).toEqual([text, parseTime(text)]);
      }),
    );
  });

  test('are all that is read: the rest is either left to parseTime or the same', () => {
    const seen = { read: 0, left: 0 };
    fc.assert(
      fc.property(bent, (text) => {
        const micros = read(text);
        if (micros !== undefined) expect([text, micros]).toEqual([text, parseTime(text)]);
        seen[micros === undefined ? 'left' : 'read']++;
      }),
      { numRuns: 5_000 },
    );
    expect(Math.min(seen.read, seen.left)).toBeGreaterThan(300);
  });

  test('are known for every day of the years 1970 to 2199', () => {
    for (let year = 1970; year < 2200; year++) {
      for (let month = 1; month <= 12; month++) {
        for (let day = 0; day <= 32; day++) {
          const date = [month, day].map((part) => String(part).padStart(2, '0')).join('-');
          const text = `${year}-${date}T12:34:56Z`;
          if (read(text) !== parseTime(text)) expect([text, read(text)]).toEqual([text, parseTime(text)]);
        }
      }
    }
  });

  test.each([
    '1969-12-31T23:59:59Z',
    '2200-01-01T00:00:00Z',
    '2026-01-31T23:59:60Z',
    '2026-01-31T24:00:00Z',
    '2026-01-31T23:60:00Z',
    '2026-00-31T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2026-01-31T23:59:59.Z',
    '2026-01-31T23:59:59.1234567Z',
    '2026-01-31T23:59:5Z',
    '2026-01-31 23:59:59Z',
    '2026-01-31T23:59:59z',
    '2026-01-31T23:59:59+00:00',
    '',
  ])('are not: %s', (text) => {
    expect(read(text)).toBeUndefined();
  });
});
