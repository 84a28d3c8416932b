import { formatTime, parseTime, streamNamePattern } from '@tidemark/core/wire';
import { Hono } from 'hono';
import { createProblem, ProblemError } from '../errors.ts';
import { encodeCursor } from '../read/cursor.ts';
import { renderEvent } from '../read/render.ts';
import type { Piece } from '../store/page.ts';
import type { Stream, Streams } from '../store/streams.ts';
import type { Authenticate } from './authenticate.ts';
import { refusedRead, streamNotFound } from './refused-read.ts';
import type { Replies } from './respond.ts';

export interface StreamPlacesDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly streams: Pick<Streams, 'find'>;
  /** An event by its id, undefined where it is not, with the stream as it is. */
  readonly readEvent: (streamId: number, id: string) => Promise<Piece | undefined>;
}

/** `GET …/cursor?at=<time>`, and `GET …/events/{id}`: places in a stream by time and by id. */
export function createStreamPlacesRoute({
  authenticate,
  replies,
  streams,
  readEvent,
}: StreamPlacesDependencies): Hono {
  async function find(name: string): Promise<Stream> {
    const stream = streamNamePattern.test(name) ? await streams.find(name) : undefined;
    if (stream === undefined) throw streamNotFound(name);
    return stream;
  }

  return new Hono()
    .get('/v1/streams/:stream/cursor', async (context) => {
      const name = context.req.param('stream');
      await authenticate(context, { role: 'read', stream: name });
      const at = context.req.query('at');
      const orderTime = at === undefined ? undefined : parseTime(at);
      if (orderTime === undefined) {
        const detail = `at is ${JSON.stringify(at?.slice(0, 80) ?? '')}: it must be an RFC 3339 time such as 2026-01-31T12:00:00Z`;
        throw new ProblemError(createProblem('invalid_parameter', detail));
      }
      const stream = await find(name);
      const cursorAt = (time: bigint) =>
        encodeCursor(stream.identity, stream.epoch, { orderTime: time, seq: 0n });
      if (orderTime < stream.retainedMark) {
        const earliestCursor = cursorAt(stream.retainedMark);
        throw refusedRead({ refused: 'cursor_expired', earliestCursor }, name);
      }
      return replies.json({ stream: name, at: formatTime(orderTime), cursor: cursorAt(orderTime) });
    })
    .get('/v1/streams/:stream/events/:id', async (context) => {
      const name = context.req.param('stream');
      await authenticate(context, { role: 'read', stream: name });
      const id = context.req.param('id');
      const { streamId } = await find(name);
      const found = await readEvent(streamId, id);
      const event = found?.events[0];
      if (found === undefined || event === undefined) {
        const detail = `The stream has no readable event ${JSON.stringify(id.slice(0, 128))}: it may be above the watermark, no longer kept, or older than ids are remembered`;
        throw new ProblemError(createProblem('event_not_found', detail));
      }
      return replies.text(renderEvent(name, found.head, event), 'application/json');
    });
}
