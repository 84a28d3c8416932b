import { describe, expect, test } from 'vitest';
import { backoffMs, lingerStretch, retryAfterMs } from '../../../sdk-core/src/backoff.ts';

describe('waiting', () => {
  test('the bound doubles with each failure, up to its limit', () => {
    const options = { retryDelayMs: 500, retryDelayMsMax: 30_000 };
    const bounds = [1, 2, 3, 7, 2_000].map((failures) => backoffMs(failures, () => 1, options));
    expect(bounds).toEqual([500, 1_000, 2_000, 30_000, 30_000]);
    expect(backoffMs(3, () => 0.25, options)).toBe(500);
  });

  test.each([
    [undefined, undefined, 0],
    ['2', undefined, 2_000],
    ['1', 700, 1_000],
    ['1', 1_700, 1_700],
    [null, 300, 300],
    ['Thu, 01 Jan 2026 00:00:05 GMT', undefined, 5_000],
    ['Wed, 31 Dec 2025 00:00:05 GMT', undefined, 0],
    ['soon', undefined, 0],
    ['-5', -5, 0],
    ['1e99', undefined, 86_400_000],
    ['', 'x', 0],
  ])('Retry-After %j with retryAfterMs %j is %d ms', (header, inBody, expected) => {
    expect(retryAfterMs(header, inBody, Date.UTC(2026, 0, 1))).toBe(expected);
  });

  test('pressure stretches the linger from a half on, up to eightfold', () => {
    const stretches = [Number.NaN, -1, 0, 0.5, 0.75, 1, 7].map(lingerStretch);
    expect(stretches).toEqual([1, 1, 1, 1, 4.5, 8, 8]);
  });
});
