import { bodyOf, type Platform, type Reply } from '@tidemark/core';
import type { Settings } from './options.ts';

/** Text, or gzip. */
export type Body = string | ArrayBuffer;

/** What may be under way for a page that is gone: 64 KiB, by the Fetch standard, less what a browser adds. */
const keepaliveBytesMax = 64_000;

/** Smaller bodies cost more time to compress than to send. */
const gzipCharactersMin = 4_096;

/** Requests that need no preflight: `text/plain`, and all that is said about a batch in the query. */
export function createTransport(
  settings: Settings,
  bytesOf: (text: string) => number,
  isLeaving: () => boolean,
): Pick<Platform<Body>, 'encode' | 'send' | 'time' | 'another'> {
  const base = settings.url.replace(/\/+$/, '');
  let keepaliveBytes = 0;
  /** The budget is shared with whatever else the page sends: after a failure, once without. */
  let keeps = true;

  return {
    encode(events) {
      const text = bodyOf(events);
      if (!settings.gzip || text.length < gzipCharactersMin || isLeaving() || !globalThis.CompressionStream)
        return text;
      return new Response(new Response(text).body?.pipeThrough(new CompressionStream('gzip'))).arrayBuffer();
    },
    async send({ body, sentAt, clock, dropped }) {
      const query = new URLSearchParams({
        key: settings.key,
        sentAt,
        ...(clock as Record<string, string> | undefined),
        ...(dropped && { dropped: JSON.stringify(dropped) }),
      });
      const target = `${base + settings.eventsPath}?${query}`;
      // Without `keepalive` in fetch there is only the beacon, whose answer nobody hears: it counts as a failure.
      if (isLeaving() && !('keepalive' in Request.prototype) && navigator.sendBeacon?.(target, body)) {
        throw new TypeError('unheard');
      }
      const bytes = typeof body === 'string' ? bytesOf(body) : body.byteLength;
      const keepalive = keeps && keepaliveBytes + bytes <= keepaliveBytesMax;
      keeps = true;
      if (keepalive) keepaliveBytes += bytes;
      try {
        return await request(target, { method: 'POST', body, keepalive });
      } catch (error) {
        keeps = !keepalive;
        throw error;
      } finally {
        if (keepalive) keepaliveBytes -= bytes;
      }
    },
    time: () => request(base + settings.timePath),
    another: () => isLeaving() && keepaliveBytes < keepaliveBytesMax / 2,
  };

  async function request(target: string, init?: RequestInit): Promise<Reply> {
    const response = await fetch(target, {
      ...init,
      headers: { 'content-type': 'text/plain' },
      credentials: 'omit',
      signal: AbortSignal.timeout(settings.requestTimeoutMs),
    });
    return {
      status: response.status,
      retryAfter: response.headers.get('retry-after'),
      pressure: response.headers.get('tidemark-pressure'),
      body: await response.text(),
    };
  }
}
