import { BlockList, isIP } from 'node:net';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { Sender } from '../ingest/sender.ts';

/** Addresses and networks that are believed. */
export function createTrustedProxies(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

/**
 * Who sent a request. Anybody can write an X-Forwarded-For; so it counts only as far as it comes from proxies that are trusted: read from
 * its end, which the nearest proxy has written, up to the first address that is not such a proxy's.
 */
export function senderOf({ env, req }: Pick<Context, 'env' | 'req'>, trusted: BlockList): Sender {
  const { incoming }: Partial<HttpBindings> = env ?? {};
  let ip = plainAddress(incoming?.socket.remoteAddress ?? '');
  const forwarded = (req.header('x-forwarded-for') ?? '').split(',').slice(-hopsMax);
  while (ip !== undefined && forwarded.length > 0 && isTrusted(ip, trusted)) {
    const next = plainAddress(withoutPort(forwarded.pop()?.trim() ?? ''));
    // What cannot be read was written by somebody else: the last one who is known counts.
    if (next === undefined) break;
    ip = next;
  }
  return { ip: ip ?? null, userAgent: req.header('user-agent') ?? null };
}

const hopsMax = 32;

function isTrusted(ip: string, trusted: BlockList): boolean {
  return trusted.check(ip, ip.includes(':') ? 'ipv6' : 'ipv4');
}

/** Without zone, an IPv4 address that was written as IPv6 as what it is, IPv6 in its shortest form. Undefined: it is no address. */
function plainAddress(text: string): string | undefined {
  const address = text.replace(/%.*$/, '');
  const family = isIP(address);
  if (family !== 6) return family === 4 ? address : undefined;
  const shortest = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(shortest) ?? [];
  if (high === undefined || low === undefined) return shortest;
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return `${a >> 8}.${a & 255}.${b >> 8}.${b & 255}`;
}

/** Some proxies write `192.0.2.7:443` or `[2001:db8::7]:443`. */
function withoutPort(text: string): string {
  return /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
}
