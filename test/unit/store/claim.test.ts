import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { claimOf } from '../../../collector/src/store/claim.ts';

const canonical = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

describe('the claim of an id', () => {
  test.each([
    '018f6b1e-7c1a-7cc3-9a51-0123456789ab',
    '6fa459ea-ee8a-3ca4-894e-db77e160355e',
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
  ])('that is a lower-case UUID is the id itself: %s', (id) => {
    expect(claimOf(id)).toBe(id);
  });

  test.each([
    ['upper case', '018F6B1E-7C1A-7CC3-9A51-0123456789AB'],
    ['mixed case', '018f6b1e-7c1a-7cc3-9a51-0123456789aB'],
    ['version 8', '018f6b1e-7c1a-8cc3-9a51-0123456789ab'],
    ['braces', '{018f6b1e-7c1a-7cc3-9a51-0123456789ab}'],
    ['no dashes', '018f6b1e7c1a7cc39a510123456789ab'],
    ['a line break at the end', '018f6b1e-7c1a-7cc3-9a51-0123456789ab\n'],
    ['text', 'order-4711'],
    ['unicode', 'größe-東京-😀'],
    ['one character', 'a'],
  ])('that is anything else is its SHA-256 in a version 8 UUID: %s', (_, id) => {
    const claim = claimOf(id);
    const digest = createHash('sha256').update(id, 'utf8').digest();
    digest[6] = 0x80 | ((digest[6] ?? 0) & 0x0f);
    digest[8] = 0x80 | ((digest[8] ?? 0) & 0x3f);
    expect(claim).toMatch(canonical);
    expect(claim.replaceAll('-', '')).toBe(digest.subarray(0, 16).toString('hex'));
  });

  test('is a canonical UUID, and no id takes the claim of another', () => {
    const ids = fc.oneof(fc.string({ minLength: 1, unit: 'grapheme' }), fc.uuid(), fc.uuid({ version: 8 }));
    fc.assert(
      fc.property(ids, ids, (one, other) => {
        expect(claimOf(one)).toMatch(canonical);
        expect(claimOf(one) === claimOf(other)).toBe(one === other);
      }),
    );
  });

  test('of a claim is another one, unless the id was a UUID', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (id) => {
        const claim = claimOf(id);
        expect(claimOf(claim) === claim).toBe(claim === id);
      }),
    );
  });
});
