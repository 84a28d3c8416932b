import { expect, test } from 'vitest';
import { matchesPattern } from '../../../../collector/src/http/authenticate-pattern.ts';

test.each([
  ['orders', 'orders', true],
  ['orders', 'orders2', false],
  ['orders', 'Orders', false],
  ['*', '', true],
  ['*', 'anything', true],
  ['web.*', 'web.clicks', true],
  ['web.*', 'web.', true],
  ['web.*', 'website', false],
  ['*.eu', 'orders.eu', true],
  ['*.eu', '.eu', true],
  ['*.eu', 'eu', false],
  ['a*a', 'a', false],
  ['a*a', 'aa', true],
  ['a*b*c', 'a-b-b-c', true],
  ['a*b*c', 'a-c-b', false],
  ['ab*bc', 'abc', false],
  ['a**c', 'abc', true],
  ['[a-z]+', 'abc', false],
  ['a.c', 'abc', false],
  ['https://*.example.com', 'https://shop.example.com', true],
  ['https://*.example.com', 'https://shop.example.com.evil.org', false],
  ['https://*.example.com', 'https://example.com', false],
])('%j stands for %j: %j', (pattern, text, matches) => {
  expect(matchesPattern(pattern, text)).toBe(matches);
});

test('a pattern that was made to be slow is not', () => {
  expect(matchesPattern(`${'a*'.repeat(30)}b`, 'a'.repeat(100_000))).toBe(false);
});
