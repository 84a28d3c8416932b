import type { BlockList } from 'node:net';
import { type Limits, paths } from '@tidemark/core/wire';
import { Hono } from 'hono';
import type { DatabaseClock } from '../clock.ts';
import { decodePixel, pixelGif } from '../ingest/pixel.ts';
import type { Authenticate } from './authenticate.ts';
import { senderOf } from './client-address.ts';
import { applyQuery } from './events-query.ts';
import type { createBatchTaker } from './take-batch.ts';

export interface PixelDependencies {
  readonly authenticate: Authenticate;
  readonly databaseClock: Pick<DatabaseClock, 'nowMicros'>;
  readonly take: ReturnType<typeof createBatchTaker>;
  readonly limits: Limits;
  readonly trustedProxies: BlockList;
}

/**
 * `GET /v1/pixel.gif`: one event in the query, for where there is nothing but images. The image is the answer when the event is on
 * disk, or was there already; an event that is rejected is answered like a body that is.
 */
export function createPixelRoute({
  authenticate,
  databaseClock,
  take,
  limits,
  trustedProxies,
}: PixelDependencies): Hono {
  return new Hono().get(paths.pixel, async (context) => {
    const receivedAt = databaseClock.nowMicros();
    const principal = await authenticate(context, { role: 'write' });
    const { search, searchParams } = new URL(context.req.url);
    await take({
      principal,
      receivedAt,
      announcedBytes: search.length,
      sender: () => senderOf(context, trustedProxies),
      decode() {
        const decoded = decodePixel(searchParams, {
          limits,
          defaultStream: principal.defaultStream ?? 'default',
        });
        if (!decoded.ok) return decoded;
        const [rejection] = decoded.batch.rejections;
        if (rejection !== undefined)
          return { ok: false, problem: { code: 'malformed', detail: rejection.message } };
        return { ok: true, batch: applyQuery(decoded.batch, context) };
      },
    });
    return new Response(pixelGif, { headers: { 'Content-Type': 'image/gif' } });
  });
}
