import { type Problem, streamNamePattern } from '@tidemark/core/wire';
import { type Context, Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import { cursorOf } from '../read/consumers.ts';
import { awaitPage } from '../read/follow.ts';
import type { Live } from '../read/live.ts';
import type { EventPage, PageRefusal, PageRequest, Reader, Start } from '../read/page.ts';
import { renderColumnPage } from '../read/render-events.ts';
import type { TakeTurn } from '../read/turns.ts';
import type { createRoster } from '../read/roster.ts';
import type { ColumnEvent } from '../store/columns.ts';
import type { Placed } from '../store/page.ts';
import type { Stream } from '../store/streams.ts';
import type { Authenticate, WatchKey } from './authenticate.ts';
import { chooseFormat, contentTypes, type EventsFormat } from './events-format.ts';
import { liveEvents } from './events-live.ts';
import { eventLines, pieceBytesMax } from './events-ndjson.ts';
import { openBody } from './open-body.ts';
import type { OpenRead } from './open-reads.ts';
import { type PageQuery, readPageQuery } from './page-query.ts';
import type { Explain } from './problem.ts';
import { refusedConsumer } from './refused-consumer.ts';
import { refusedRead, streamNotFound } from './refused-read.ts';
import type { Replies } from './respond.ts';

export { streamNotFound } from './refused-read.ts';

export interface StreamEventsDependencies {
  readonly authenticate: Authenticate;
  readonly watchKey: WatchKey;
  readonly replies: Replies;
  readonly findStream: (name: string) => Promise<Pick<Stream, 'streamId'> | undefined>;
  readonly reader: Reader<ColumnEvent>;
  /** For the pages of readers that stay: however many catch up at once, a page that is asked for by itself has a connection left. */
  readonly takeTurn: TakeTurn;
  readonly live: Live;
  readonly roster: Pick<ReturnType<typeof createRoster>, 'get'>;
  readonly clock: Pick<Clock, 'after' | 'monotonicMs' | 'random'>;
  readonly metrics: Metrics;
  readonly problemOf: Explain;
  readonly openRead: OpenRead;
  /** Aborted when the collector closes: what is open then ends. */
  readonly closing: AbortSignal;
}

/** A socket that takes nothing for so long is closed, milliseconds. */
const stallMs = 30_000;

/** `GET /v1/streams/{stream}/events`: a page in stream order as JSON or as lines, with `wait` a long poll; or the stream, live. */
export function createStreamEventsRoute(dependencies: StreamEventsDependencies): Hono {
  const {
    authenticate,
    watchKey,
    replies,
    findStream,
    reader,
    takeTurn,
    live,
    roster,
    clock,
    metrics,
    closing,
    openRead,
  } = dependencies;

  /** For what is read while a reply is open. */
  const counted: Reader<ColumnEvent> = {
    async page(request) {
      const page = await takeTurn(() => reader.page(request));
      if (!('refused' in page)) count(page);
      return page;
    },
  };

  return new Hono().get('/v1/streams/:stream/events', async (context) => {
    const name = context.req.param('stream');
    const principal = await authenticate(context, { role: 'read', stream: name });
    const format = chooseFormat(context.req.header('accept'));
    const query = readPageQuery(context.req.query(), format, context.req.header('last-event-id'));
    const stream = streamNamePattern.test(name) ? await findStream(name) : undefined;
    if (stream === undefined) throw streamNotFound(name);
    const start = await startOf(query, name);
    const { until, limit, maxBytes, filter, skipExpired, waitSeconds } = query;
    const request = { streamId: stream.streamId, start, until, limit, maxBytes, filter, skipExpired };

    const release = openRead();
    const { revoked, stop } = watchKey(principal);
    const end = (): void => {
      stop();
      release();
    };
    try {
      const gone = context.req.raw.signal;
      const wait = { waitSeconds: format === 'live' ? 0 : waitSeconds, revoked, gone };
      if (format === 'json') {
        const page = await firstPage(request, name, wait);
        end();
        return replies.text(renderColumnPage(name, page), contentTypes.json);
      }
      const piece = { ...request, maxBytes: Math.min(maxBytes, pieceBytesMax) };
      const problemOf = (error: unknown): Problem => dependencies.problemOf(error, context.req);
      const shared = { stream: name, request, reader: counted, problemOf, revoked };
      if (format === 'lines') {
        const first = await firstPage(piece, name, wait);
        return openReply(context, format, end, () => eventLines({ ...shared, first }));
      }
      const takeFirst = giveOnce(await firstPage(piece, name, wait));
      return openReply(context, format, end, (left) =>
        liveEvents({ ...shared, takeFirst, live, clock, closing, gone: left }),
      );
    } catch (error) {
      end();
      throw error;
    }
  });

  async function firstPage(
    request: PageRequest,
    name: string,
    { waitSeconds, revoked, gone }: Waiting,
  ): Promise<EventPage<ColumnEvent>> {
    const ended = endOf(waitSeconds, [gone, closing, revoked], clock);
    try {
      const page = given(
        await (waitSeconds === 0 ? reader.page(request) : awaitPage({ reader, live }, request, ended.signal)),
        name,
      );
      revoked.throwIfAborted();
      count(page);
      return page;
    } finally {
      ended.stop();
    }
  }

  function openReply(
    context: Context,
    format: EventsFormat,
    onEnd: () => void,
    pieces: (gone: AbortSignal) => AsyncGenerator<string | Uint8Array>,
  ): Response {
    // Nobody would read the body, nor say so.
    if (context.req.method === 'HEAD') {
      onEnd();
      return replies.text('', contentTypes[format]);
    }
    return replies.open(openBody(pieces, { clock, stallMs, onEnd }), contentTypes[format]);
  }

  function count({ events }: EventPage<Placed>): void {
    metrics.pages.inc();
    metrics.eventsRead.inc(events.length);
  }

  /** A consumer's committed cursor is a start like any other. */
  async function startOf({ start, filter }: PageQuery, stream: string): Promise<Start> {
    if (start.at !== 'consumer') return start;
    const consumer = { stream, name: start.name };
    const found = await roster.get(consumer);
    if ('refused' in found) throw refusedConsumer(found, consumer);
    const { shards } = found.consumer;
    const { index, count: parts } = filter?.shard ?? { index: 0, count: 1 };
    const shard = shards[index];
    if (parts !== shards.length || shard === undefined) {
      const detail = `consumer ${start.name} has ${shards.length} shards: say which one with shard=i/${shards.length}`;
      throw new ProblemError(createProblem('invalid_parameter', `shard: ${detail}`));
    }
    return { at: 'cursor', cursor: cursorOf(found.head, shard) };
  }
}

interface Waiting {
  readonly waitSeconds: number;
  readonly revoked: AbortSignal;
  readonly gone: AbortSignal;
}

function given(page: EventPage<ColumnEvent> | PageRefusal, stream: string): EventPage<ColumnEvent> {
  if (!('refused' in page)) return page;
  throw refusedRead(page, stream);
}

/** A signal that comes after so many seconds, or with any of the others. */
function endOf(seconds: number, others: readonly AbortSignal[], clock: Pick<Clock, 'after'>) {
  const timer = new AbortController();
  const stop = clock.after(seconds * 1_000, () => timer.abort());
  return { signal: AbortSignal.any([timer.signal, ...others]), stop };
}

/** Gives a value away: nothing keeps it from then on. */
function giveOnce<Value>(value: Value): () => Value {
  const held = [value];
  return () => {
    const [given] = held.splice(0);
    if (given === undefined) throw new Error('it was given away already');
    return given;
  };
}
