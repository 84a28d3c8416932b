import { setImmediate } from 'node:timers/promises';
import type { Problem } from '@tidemark/core/wire';
import { after } from '../read/follow.ts';
import type { EventPage, PageRefusal, PageRequest, Reader } from '../read/page.ts';
import { renderPageEnd } from '../read/render.ts';
import { renderColumnLines } from '../read/render-events.ts';
import type { ColumnEvent } from '../store/columns.ts';
import { sizeOf } from '../store/page.ts';
import { refusedRead } from './refused-read.ts';

/** Bytes of events that are fetched at a time. */
export const pieceBytesMax = 1_048_576;
/** Pieces of one reply: a filter that finds little must not keep a request going for ever. */
const piecesMax = 64;

export interface EventLines {
  readonly stream: string;
  readonly request: PageRequest;
  /** What came first; all that follows ends at its watermark. */
  readonly first: EventPage<ColumnEvent>;
  readonly reader: Reader<ColumnEvent>;
  /** Aborted when the key was revoked: no further piece is given then. */
  readonly revoked: AbortSignal;
  /** What to say of an error. */
  readonly problemOf: (error: unknown) => Problem;
}

/**
 * A page as lines, fetched in pieces; each piece looks again whether the epoch is the same and what follows is still kept. The last line is
 * the trailer, or the problem that cut the page.
 *
 * To a reader that has taken a piece the next one is sent while the one after it is fetched: so Postgres and the collector work side by side. One
 * that takes nothing costs one piece.
 */
export async function* eventLines({
  stream,
  request,
  first,
  reader,
  revoked,
  problemOf,
}: EventLines): AsyncGenerator<string | Uint8Array> {
  const until =
    request.until === undefined || first.head.watermark < request.until
      ? first.head.watermark
      : request.until;
  const problem = (of: Problem): string => `${JSON.stringify({ problem: of })}\n`;
  let page = first;
  let limit = request.limit - page.events.length;
  let maxBytes = request.maxBytes - bytesOf(page);

  /** Undefined: there is none, or no room for it. */
  function fetchNext(piece: number): Promise<Piece> | undefined {
    if (!page.hasMore || limit <= 0 || maxBytes <= 0 || piece >= piecesMax) return undefined;
    const wanted = {
      ...after(request, page),
      until,
      limit: Math.min(limit, likelyFit(page)),
      maxBytes: Math.min(maxBytes, pieceBytesMax),
      // What expires while it is sent cuts the page: who goes on is told what is missing.
      skipExpired: false,
    };
    return reader.page(wanted).catch((error: unknown) => ({ problem: problemOf(error) }));
  }

  if (page.events.length > 0) yield renderColumnLines(stream, page);
  let next = fetchNext(1);
  for (let piece = 2; next !== undefined; piece += 1) {
    const fetched = await next;
    if (revoked.aborted) return yield problem(problemOf(revoked.reason));
    if ('problem' in fetched) return yield problem(fetched.problem);
    if ('refused' in fetched) return yield problem(refusedRead(fetched, stream).problem);
    // A piece has at least one event, a page has it only if it is the first.
    if (maxBytes < request.maxBytes && bytesOf(fetched) > maxBytes) break;
    page = fetched;
    limit -= page.events.length;
    maxBytes -= bytesOf(page);
    next = fetchNext(piece);
    if (next !== undefined) await beOnItsWay();
    if (page.events.length > 0) yield renderColumnLines(stream, page);
  }
  const { head, gap } = first;
  yield `{${renderPageEnd({ ...page, head, ...(gap && { gap }) })}}\n`;
}

/** The driver sends a statement when the event loop comes round: whoever renders before that keeps Postgres waiting, and reads 0.81 of the events a second. */
async function beOnItsWay(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

/**
 * So many events as fit into a piece if they are like those before, and a tenth more: Postgres looks at all that the limit allows. Where only the bytes
 * cut a piece, as of events of 300 bytes, a reader gets 0.73 of the events a second.
 */
function likelyFit(page: EventPage<ColumnEvent>): number {
  const bytes = bytesOf(page);
  return bytes === 0
    ? Number.POSITIVE_INFINITY
    : Math.ceil((1.1 * pieceBytesMax * page.events.length) / bytes);
}

type Piece = EventPage<ColumnEvent> | PageRefusal | { readonly problem: Problem };

function bytesOf({ events }: EventPage<ColumnEvent>): number {
  return events.reduce((sum, event) => sum + sizeOf(event), 0);
}
