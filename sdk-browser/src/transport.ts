import { bodyOf, type Platform, type Reply } from '@tidemark/core';
import type { Settings } from './options.ts';

/** A request body, and its bytes on the wire. */
export interface Body {
  readonly data: string | ArrayBuffer;
  readonly bytes: number;
}

/** What may be under way for a page that is gone: 64 KiB, by the Fetch standard, less what a browser adds. */
const keepaliveBytesMax = 64_000;

/** Smaller bodies cost more time to compress than to send. */
const gzipBytesMin = 4_096;

/** Requests that need no preflight: `text/plain`, and all that is said about a batch in the query. */
export function createTransport(
  { url, key, eventsPath, timePath, gzip }: Settings,
  isLeaving: () => boolean,
): Pick<Platform<Body>, 'encode' | 'send' | 'time' | 'another'> {
  const base = url.replace(/\/+$/, '');
  let keepaliveBytes = 0;
  /** The budget is shared with whatever else the page sends: after a failure, once without. */
  let keeps = true;

  return {
    async encode(events, eventBytes) {
      const data = bodyOf(events);
      const plain = { data, bytes: eventBytes + events.length + 12 };
      if (!gzip || plain.bytes < gzipBytesMin || isLeaving() || !globalThis.CompressionStream) return plain;
      const stream = new Blob([data]).stream().pipeThrough(new CompressionStream('gzip'));
      const packed = await new Response(stream).arrayBuffer();
      return { data: packed, bytes: packed.byteLength };
    },
    async send({ body, sentAt, clock, dropped, timeoutMs }) {
      const { data, bytes } = body;
      const query = new URLSearchParams({
        key,
        sentAt,
        ...(clock as Record<string, string> | undefined),
        ...(dropped && { dropped: JSON.stringify(dropped) }),
      });
      const target = `${base + eventsPath}?${query}`;
      const keepalive = keeps && keepaliveBytes + bytes <= keepaliveBytesMax;
      // Without `keepalive` in fetch there is only the beacon, whose answer nobody hears: it counts as a failure.
      if (isLeaving() && !('keepalive' in Request.prototype) && navigator.sendBeacon(target, data)) {
        throw new Error('unheard');
      }
      keeps = false;
      if (keepalive) keepaliveBytes += bytes;
      try {
        const reply = await request(target, timeoutMs, { method: 'POST', body: data, keepalive });
        keeps = true;
        return reply;
      } finally {
        keeps ||= !keepalive;
        if (keepalive) keepaliveBytes -= bytes;
      }
    },
    time: (timeoutMs) => request(base + timePath, timeoutMs, { cache: 'no-store' }),
    another: () => isLeaving() && keepaliveBytes < keepaliveBytesMax / 2,
  };
}

async function request(target: string, timeoutMs: number, init: RequestInit): Promise<Reply> {
  const response = await fetch(target, {
    ...init,
    headers: { 'content-type': 'text/plain' },
    credentials: 'omit',
    signal: AbortSignal.timeout(timeoutMs),
  });
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    pressure: response.headers.get('tidemark-pressure'),
    body: await response.text(),
  };
}
