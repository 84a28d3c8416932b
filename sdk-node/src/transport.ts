import type { Attempt, ClientClock, DroppedEvents, Platform, Reply } from '@tidemark/core';
import { headers, paths } from '@tidemark/core/wire';
import { Pool } from 'undici';
import { createEncoder, type EncodedBody } from './encode.ts';
import { createQuietConnector } from './quiet-connector.ts';

export interface TransportOptions {
  /** Where the collector is; a path prefix is kept. */
  readonly url: URL;
  readonly key: string;
  /** Sockets at most. */
  readonly connections: number;
  readonly gzip: boolean;
  /** Milliseconds one request may take. */
  readonly requestTimeoutMs: number;
  /** false: every batch says that this clock is the collector's. */
  readonly correctClock: boolean;
}

const noOffset: ClientClock = { offsetMs: 0, rttMs: 0 };

export type Transport = Pick<Platform<EncodedBody>, 'encode' | 'send' | 'time'>;

/** Requests to the collector over a small keep-alive pool. */
export function createTransport({
  url,
  key,
  connections,
  gzip,
  requestTimeoutMs,
  correctClock,
}: TransportOptions): Transport & { close(): Promise<void> } {
  const pool = new Pool(url.origin, {
    connections,
    connect: createQuietConnector(),
    maxResponseSize: 8 * 1_048_576,
  });
  const encoder = createEncoder(gzip);
  const prefix = url.pathname.replace(/\/+$/, '');

  return {
    encode: encoder.encode,
    async send({ body, sentAt, clock, dropped }: Attempt<EncodedBody>) {
      const reply = await request(
        'POST',
        `${paths.events}?${query(sentAt, correctClock ? clock : noOffset, dropped)}`,
        body,
      );
      // Anything else may have been answered before the body was read, and it may still be on its way.
      if (reply.status === 200) encoder.recycle(body);
      return reply;
    },
    time: () => request('GET', paths.time),
    close: () => pool.destroy(),
  };

  async function request(method: 'GET' | 'POST', path: string, body?: EncodedBody): Promise<Reply> {
    const answer = await pool.request({
      method,
      path: prefix + path,
      headers: {
        ...(body && { authorization: `Bearer ${key}`, 'content-type': 'application/json' }),
        ...(body?.isGzip && { 'content-encoding': 'gzip' }),
      },
      body: body?.bytes ?? null,
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    return {
      status: answer.statusCode,
      retryAfter: single(answer.headers['retry-after']),
      pressure: single(answer.headers[headers.pressure.toLowerCase()]),
      body: await answer.body.text(),
    };
  }
}

function query(sentAt: string, clock: ClientClock | undefined, dropped: DroppedEvents | undefined): string {
  const query = new URLSearchParams({ sentAt });
  for (const [name, value] of Object.entries(clock ?? {})) query.set(name, String(value));
  if (dropped) query.set('dropped', JSON.stringify(dropped));
  return query.toString();
}

function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
