import { earliestMicros } from '@tidemark/core/wire';
import {
  type EventRow,
  type Piece,
  type Placed,
  type Position,
  type ScanEnd,
  type StreamHead,
  sizeOf,
} from '../store/page.ts';
import type { Filter } from '../store/filter.ts';
import { type Cursor, encodeCursor } from './cursor.ts';

/** Where a read begins; `Place` is what a cursor says. */
export type Start<Place = Cursor> =
  | { readonly at: 'earliest' }
  | { readonly at: 'latest' }
  | { readonly at: 'time'; readonly orderTime: bigint }
  | { readonly at: 'cursor'; readonly cursor: Place };

export interface PageRequest {
  readonly streamId: number;
  readonly start: Start;
  /** Exclusive, microseconds. */
  readonly until: bigint | undefined;
  readonly limit: number;
  readonly maxBytes: number;
  /** Undefined: every event. */
  readonly filter: Filter | undefined;
  /** Where the cursor has expired: begin at the earliest event instead, and say what is missing. */
  readonly skipExpired: boolean;
}

/**
 * A page of a stream: its events in stream order, and where to go on. A filtered page may have fewer events than fit, or none, though there
 * are more: it ends where its work did.
 */
export interface EventPage<Event extends Placed = EventRow> {
  /** What was skipped because it is no longer kept: from the cursor's time to that of the earliest event. */
  readonly gap?: { readonly from: bigint; readonly to: bigint };
  readonly head: StreamHead;
  readonly events: readonly Event[];
  readonly next: Position;
  readonly hasMore: boolean;
}

/** Why there is no page. */
export type PageRefusal =
  | { readonly refused: 'stream_not_found' }
  | { readonly refused: 'invalid_cursor' }
  | { readonly refused: 'cursor_expired'; readonly earliestCursor: string }
  | { readonly refused: 'epoch_changed'; readonly resumeCursor: string };

/** `Event`: the form in which events come. */
export interface Reader<Event extends Placed = EventRow> {
  page(request: PageRequest): Promise<EventPage<Event> | PageRefusal>;
}

export interface ReaderDependencies<Event extends Placed> {
  readonly readPiece: (request: {
    streamId: number;
    after: Position;
    until: bigint;
    limit: number;
    maxBytes: number;
    filter: Filter | undefined;
  }) => Promise<Piece<Event> | undefined>;
  /** Where a filtered piece stopped looking; undefined: nowhere. */
  readonly readScanEnd: (request: {
    streamId: number;
    after: Position;
    until: bigint;
  }) => Promise<ScanEnd | undefined>;
  /** Ends of ever wider stretches of time from a position on, the last of which is `end`. */
  readonly stretches: (position: bigint, end: bigint) => Iterable<bigint>;
}

/** Before and after every position. */
const startOfTime: Position = { orderTime: earliestMicros, seq: 0n };
const endOfTime = (1n << 63n) - 1n;

/**
 * A page is read in one statement as a rule; a read from far back may take a few, over ever wider stretches of time. All of
 * them end at the watermark that the first one saw, and each looks again whether the epoch is the same and whether what
 * follows is still kept: where it is not, the page ends before it.
 */
export function createReader<Event extends Placed>({
  readPiece,
  readScanEnd,
  stretches,
}: ReaderDependencies<Event>): Reader<Event> {
  async function page(request: PageRequest): Promise<EventPage<Event> | PageRefusal> {
    if (request.start.at === 'cursor') return scan(request, request.start.cursor.position, undefined);
    if (request.start.at === 'time')
      return scan(request, { orderTime: request.start.orderTime, seq: 0n }, undefined);
    // What these mean depends on the stream. An empty range of time: only the head is read.
    const nothing = { after: startOfTime, until: earliestMicros, limit: 1, maxBytes: 1, filter: undefined };
    const piece = await readPiece({ streamId: request.streamId, ...nothing });
    if (piece === undefined) return { refused: 'stream_not_found' };
    const { head } = piece;
    if (request.start.at === 'earliest')
      return scan(request, { orderTime: head.retainedMark, seq: 0n }, head);
    return { head, events: [], next: { orderTime: head.watermark, seq: 0n }, hasMore: false };
  }

  async function scan(
    request: PageRequest,
    start: Position,
    known: StreamHead | undefined,
  ): Promise<EventPage<Event> | PageRefusal> {
    const { streamId, limit, maxBytes, filter } = request;
    const events: Event[] = [];
    let bytes = 0;
    let head = known;
    let bound = min(request.until ?? endOfTime, known?.watermark ?? endOfTime);
    // All below it has been given.
    let after = start;

    for (const stretch of stretches(start.orderTime, endOfTime)) {
      const until = min(stretch, bound);
      const looked = after;
      const piece = await readPiece({
        streamId,
        after,
        until,
        // One more than fits, to see whether there is more.
        limit: limit - events.length + 1,
        maxBytes: maxBytes - bytes,
        filter,
      });
      if (piece === undefined) return { refused: 'stream_not_found' };
      if (head === undefined) {
        const refusal = refusalOf(request.start, start, piece.head);
        if (refusal?.refused === 'cursor_expired' && request.skipExpired)
          return skip(request, start, piece.head);
        if (refusal !== undefined) return refusal;
        head = piece.head;
        bound = min(bound, head.watermark);
      } else if (piece.head.epoch !== head.epoch || after.orderTime < piece.head.retainedMark) {
        return events.length > 0 ? { head, events, next: placeOf(after), hasMore: true } : page(request);
      }
      for (const event of piece.events) {
        const full = events.length === limit || (events.length > 0 && bytes + sizeOf(event) > maxBytes);
        if (full) return { head, events, next: placeOf(after), hasMore: true };
        events.push(event);
        bytes += sizeOf(event);
        after = event;
      }
      const isCut = bytes >= maxBytes;
      if (filter !== undefined && !isCut) {
        const range = { streamId, after: looked, until: min(until, head.watermark) };
        const end = await readScanEnd(range);
        if (end === undefined) return { refused: 'stream_not_found' };
        const { stopped, retainedMark } = end;
        if (looked.orderTime < retainedMark) return page(request);
        if (stopped !== undefined)
          return { head, events, next: placeOf(later(after, stopped)), hasMore: true };
      }
      if (until >= bound && !isCut) break;
      if (events.length === limit || isCut) return { head, events, next: placeOf(after), hasMore: true };
      after = later(after, { orderTime: until, seq: 0n });
    }

    if (head === undefined) throw new Error('A read has at least one stretch');
    return { head, events, next: later(start, { orderTime: bound, seq: 0n }), hasMore: false };
  }

  async function skip(
    request: PageRequest,
    from: Position,
    head: StreamHead,
  ): Promise<EventPage<Event> | PageRefusal> {
    const page = await scan(
      { ...request, start: { at: 'earliest' } },
      { orderTime: head.retainedMark, seq: 0n },
      head,
    );
    if ('refused' in page) return page;
    return { ...page, gap: { from: from.orderTime, to: head.retainedMark } };
  }

  return { page };
}

/**
 * Reads from a place that may be behind. What it refuses because it does not know a stream or a cursor yet is asked of the other one.
 */
export function createPatientReader<Event extends Placed>(
  behind: Reader<Event>,
  ahead: Reader<Event>,
): Reader<Event> {
  return {
    async page(request) {
      const page = await behind.page(request);
      const unknown =
        'refused' in page && (page.refused === 'stream_not_found' || page.refused === 'invalid_cursor');
      return unknown ? ahead.page(request) : page;
    },
  };
}

/** Why a read of this stream cannot begin at this start, whose position is given; undefined: it can. */
export function refusalOf(start: Start, position: Position, head: StreamHead): PageRefusal | undefined {
  if (start.at === 'cursor') {
    const { identity, epoch } = start.cursor;
    if (identity !== head.identity || epoch > head.epoch) return { refused: 'invalid_cursor' };
    if (epoch < head.epoch) {
      const epochStart = { orderTime: head.epochStart, seq: 0n };
      const resume = later(position, epochStart) === position ? epochStart : position;
      return { refused: 'epoch_changed', resumeCursor: encodeCursor(head.identity, head.epoch, resume) };
    }
  }
  if (position.orderTime < head.retainedMark) {
    const earliest = { orderTime: head.retainedMark, seq: 0n };
    return { refused: 'cursor_expired', earliestCursor: encodeCursor(head.identity, head.epoch, earliest) };
  }
  return undefined;
}

function placeOf({ orderTime, seq }: Position): Position {
  return { orderTime, seq };
}

function later(a: Position, b: Position): Position {
  return a.orderTime > b.orderTime || (a.orderTime === b.orderTime && a.seq >= b.seq) ? a : b;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
