import { describe, expect, test } from 'vitest';
import type { Context } from 'hono';
import { createTrustedProxies, senderOf } from '../../../../collector/src/http/client-address.ts';

/** A request from an address, with this header. */
function ipOf(
  remoteAddress: string | undefined,
  forwarded: string | undefined,
  trusted: string[],
): string | null {
  const headers: Record<string, string | undefined> = { 'x-forwarded-for': forwarded };
  const request = {
    env: { incoming: { socket: { remoteAddress } } },
    req: { header: (name: string) => headers[name] },
  } as unknown as Context;
  return senderOf(request, createTrustedProxies(trusted)).ip;
}

describe('where a request comes from', () => {
  test('is the other end of the connection, whatever it says, where no proxy is trusted', () => {
    expect(ipOf('203.0.113.7', undefined, [])).toBe('203.0.113.7');
    expect(ipOf('203.0.113.7', '198.51.100.1', [])).toBe('203.0.113.7');
    expect(ipOf('203.0.113.7', '198.51.100.1', ['10.0.0.0/8'])).toBe('203.0.113.7');
  });

  test('is what the nearest proxy that is trusted says, and never what is before it', () => {
    const trusted = ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'];
    expect(ipOf('10.1.2.3', '198.51.100.1', trusted)).toBe('198.51.100.1');
    expect(ipOf('10.1.2.3', '1.1.1.1, 198.51.100.1', trusted)).toBe('198.51.100.1');
    expect(ipOf('10.1.2.3', '1.1.1.1, 198.51.100.1, 192.0.2.1, fd00::7', trusted)).toBe('198.51.100.1');
    expect(ipOf('10.1.2.3', '10.0.0.1, 10.0.0.2', trusted)).toBe('10.0.0.1');
  });

  test('is the last that is known where the header cannot be read', () => {
    const trusted = ['10.0.0.0/8'];
    expect(ipOf('10.1.2.3', undefined, trusted)).toBe('10.1.2.3');
    expect(ipOf('10.1.2.3', '198.51.100.1, unknown', trusted)).toBe('10.1.2.3');
    expect(ipOf('10.1.2.3', '198.51.100.1, , 10.0.0.1', trusted)).toBe('10.0.0.1');
    expect(ipOf('10.1.2.3', `${'10.0.0.9,'.repeat(5_000)}10.0.0.8`, trusted)).toBe('10.0.0.9');
    expect(ipOf(undefined, '198.51.100.1', trusted)).toBeNull();
  });

  test.each([
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::ffff:cb00:7107', '203.0.113.7'],
    ['fe80::1%eth0', 'fe80::1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ])('is written in one way: %s as %s', (written, ip) => {
    expect(ipOf(written, undefined, [])).toBe(ip);
  });

  test.each([
    ['198.51.100.1:4711', '198.51.100.1'],
    ['[2001:db8::7]:4711', '2001:db8::7'],
    ['[2001:db8::7]', '2001:db8::7'],
    ['2001:db8::7', '2001:db8::7'],
  ])('is found in %s', (written, ip) => {
    expect(ipOf('10.1.2.3', written, ['10.1.2.3'])).toBe(ip);
  });

  test('is recognised as a proxy in its IPv6 clothes', () => {
    expect(ipOf('::ffff:10.1.2.3', '198.51.100.1', ['10.0.0.0/8'])).toBe('198.51.100.1');
  });
});
