import type { BlockList } from 'node:net';
import type { ReadableStream } from 'node:stream/web';
import type { HttpBindings } from '@hono/node-server';
import { type Limits, paths } from '@tidemark/core/wire';
import { type Context, Hono } from 'hono';
import type { Clock, DatabaseClock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';
import type { Admission, Ticket } from '../ingest/admit.ts';
import { chooseMedia, decodeBody, type Media } from '../ingest/media.ts';
import { type BodyReading, type BodySource, createBodyReader } from '../ingest/receive.ts';
import type { Metrics } from '../metrics.ts';
import type { Authenticate } from './authenticate.ts';
import { senderOf } from './client-address.ts';
import { countDropped } from './client-dropped.ts';
import { applyQuery } from './events-query.ts';
import type { Replies } from './respond.ts';
import { type createBatchTaker, overloaded } from './take-batch.ts';

export interface EventsDependencies {
  readonly authenticate: Authenticate;
  readonly metrics: Pick<Metrics, 'clientDropped'>;
  readonly replies: Replies;
  readonly clock: Pick<Clock, 'after'>;
  readonly databaseClock: Pick<DatabaseClock, 'nowMicros'>;
  readonly admission: Admission;
  readonly take: ReturnType<typeof createBatchTaker>;
  readonly limits: Limits;
  readonly trustedProxies: BlockList;
}

/** So long a body may take to arrive, in milliseconds: a slow sender holds its place no longer. */
const bodyDeadlineMs = 30_000;

/** `POST /v1/events`: takes a batch in any of its formats; answers when what it accepted is on disk. */
export function createEventsRoute(dependencies: EventsDependencies): Hono {
  const { authenticate, metrics, replies, clock, databaseClock, admission, take, limits, trustedProxies } =
    dependencies;
  const bodyLimits = { bodyBytesMax: limits.bodyBytes, deadlineMs: bodyDeadlineMs };
  const read = createBodyReader(clock, bodyLimits);

  return new Hono().post(paths.events, async (context) => {
    const receivedAt = databaseClock.nowMicros();
    const principal = await authenticate(context, { role: 'write' });
    const media = mediaOf(context);
    const announcedBytes = announcedBytesOf(context, limits.bodyBytes);
    const defaultStream = principal.defaultStream ?? 'default';
    const reply = await take({
      principal,
      receivedAt,
      announcedBytes,
      sender: () => senderOf(context, trustedProxies),
      async decode(ticket) {
        const body = await readBody(context, announcedBytes, ticket);
        // Only these two formats look at headers, and a plain request should not pay for making them.
        const headers =
          media.format === 'ndjson' || media.format === 'binaryCloudEvent' ? context.req.raw.headers : [];
        const decoded = decodeBody(body, media, headers, { limits, defaultStream });
        return decoded.ok ? { ok: true, batch: applyQuery(decoded.batch, context) } : decoded;
      },
    });
    countDropped(context, metrics);
    return replies.json(reply);
  });

  async function readBody(context: Context, announcedBytes: number, ticket: Ticket): Promise<Uint8Array> {
    const reading = await read(bodySource(context), {
      announcedBytes,
      reserve: (bytes) => ticket.add(bytes),
    });
    if (reading.ok) return reading.bytes;
    throw refusalOf(reading);
  }

  function refusalOf(reading: Extract<BodyReading, { ok: false }>): ProblemError {
    switch (reading.reason) {
      case 'tooLarge':
        return bodyTooLarge(reading.limit, reading.actual);
      case 'refused':
        return overloaded({ detail: 'there is no room for the rest of this body' }, admission);
      case 'slow': {
        const detail = `The body had not arrived after ${bodyDeadlineMs / 1_000} s: send smaller batches.`;
        return new ProblemError(createProblem('request_timeout', detail));
      }
      case 'cut':
        return new ProblemError(createProblem('malformed', 'The body ended before its end.'));
    }
  }
}

/** Node's own request where there is one; a test's has only the web's. */
function bodySource(context: Context): BodySource {
  const { incoming }: Partial<HttpBindings> = context.env ?? {};
  return incoming ?? (context.req.raw.body as ReadableStream<Uint8Array> | null);
}

function mediaOf(context: Context): Media {
  const chosen = chooseMedia({
    header: (name) => context.req.header(name),
    encoding: context.req.url.includes('?') ? context.req.query('encoding') : undefined,
  });
  if (chosen.ok) return chosen.media;
  throw new ProblemError(createProblem('unsupported_media_type', `${chosen.problem.detail}.`));
}

/** What Content-Length says, or 0. */
function announcedBytesOf(context: Context, limit: number): number {
  const text = context.req.header('content-length');
  if (text === undefined || !/^\d{1,15}$/.test(text)) return 0;
  if (Number(text) > limit) throw bodyTooLarge(limit, Number(text));
  return Number(text);
}

function bodyTooLarge(limit: number, actual: number): ProblemError {
  const detail = `The body has ${actual} bytes or more, the limit is ${limit}: send smaller batches.`;
  return new ProblemError(createProblem('body_too_large', detail, { limit, actual }));
}
