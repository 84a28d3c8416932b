import type { Sql } from './database.ts';
import { type Filter, filterCondition, filterValues } from './filter.ts';

/** A place in a stream: after the event with this order time and seq, before the next one. */
export interface Position {
  readonly orderTime: bigint;
  readonly seq: bigint;
}

/** What a page of a stream begins with: the stream as this very snapshot sees it. */
export interface StreamHead {
  readonly identity: bigint;
  readonly epoch: number;
  readonly epochStart: bigint;
  readonly retainedMark: bigint;
  readonly watermark: bigint;
}

/** An event as it is stored. Times are microseconds. */
export interface EventRow extends Placed {
  readonly eventTime: bigint;
  readonly receivedAt: bigint;
  readonly occurredAt: bigint | null;
  readonly sentAt: bigint | null;
  readonly timeQuality: number;
  readonly id: string;
  readonly name: string;
  readonly key: string | null;
  /** JSON text. */
  readonly props: string | null;
  /** What only some events have, as JSON members with a comma before each; null: nothing. */
  readonly more: string | null;
}

export interface PieceRequest {
  readonly streamId: number;
  /** Exclusive. */
  readonly after: Position;
  /** Exclusive; the watermark bounds it further. */
  readonly until: bigint;
  /** Most events. */
  readonly limit: number;
  /** The piece ends with the event that reaches this many bytes, counted by `sizeOf`. */
  readonly maxBytes: number;
  /** Undefined: every event. */
  readonly filter: Filter | undefined;
}

/** Events that a filtered piece looks at, at most, however few of them it wants: the work of a statement stays bounded. */
export const scannedEventsMax = 20_000;

/** What has to be known of an event to cut a page. */
export interface Placed extends Position {
  /** UTF-8 bytes of id, name, key, props and user agent. */
  readonly bytes: number;
}

/** What an event counts for in a page: its own bytes, and what the rest of it takes as JSON. */
export function sizeOf(event: Pick<Placed, 'bytes'>): number {
  return event.bytes + restBytes;
}

const restBytes = 350;

export interface Piece<Event extends Placed = EventRow> {
  readonly head: StreamHead;
  readonly events: readonly Event[];
}

/**
 * One statement, so that the watermark and the rows come from one snapshot. Undefined: there is no such stream.
 *
 * The order time is also bounded by the cursor and by `until` in plain comparisons: by those whole partitions are left out.
 */
export async function readPiece(sql: Sql, request: PieceRequest): Promise<Piece | undefined> {
  const rows: readonly unknown[] = await sql
    .unsafe(request.filter === undefined ? pieceStatement : filteredStatement, pieceValues(request), {
      prepare: true,
    })
    .values();
  const [first, ...rest] = rows as readonly Row[];
  if (first === undefined || first[0] === null) return undefined;
  return { head: parseHead(first[0]), events: rest.map(eventOf) };
}

/** The values of a piece's statement. */
export function pieceValues(request: PieceRequest): (string | number | null)[] {
  return [
    request.streamId,
    request.after.orderTime.toString(),
    request.after.seq.toString(),
    request.until.toString(),
    // No more than can fit: a page of large events does not look at all that its count would allow.
    Math.min(request.limit, Math.ceil(request.maxBytes / restBytes) + 1),
    request.maxBytes,
    ...(request.filter === undefined ? [] : filterValues(request.filter)),
  ];
}

/** Where a filtered piece stopped looking, and what was kept then. */
export interface ScanEnd {
  /** The last of the events that it may look at; undefined: it saw all there are before `until`. */
  readonly stopped: Position | undefined;
  /** What lies at or above it was still there. */
  readonly retainedMark: bigint;
}

/**
 * Where a filtered piece that found no more stopped looking. What is below the watermark does not change, so it is the same in a statement of
 * its own, unless retention took something in between: then the mark has passed `after`, and the piece counts for nothing. Undefined: there
 * is no such stream any more.
 */
export async function readScanEnd(
  sql: Sql,
  { streamId, after, until }: Pick<PieceRequest, 'streamId' | 'after' | 'until'>,
): Promise<ScanEnd | undefined> {
  const [row] = await sql<{ retained_mark: bigint; order_time: bigint | null; seq: bigint | null }[]>`
    select s.retained_mark, last.order_time, last.seq
    from tidemark.streams s left join lateral (
      select e.order_time, e.seq from tidemark.events e
      where e.stream_id = ${streamId}
        and e.order_time >= ${after.orderTime.toString()}::bigint
        and (e.order_time, e.seq) > (${after.orderTime.toString()}::bigint, ${after.seq.toString()}::bigint)
        and e.order_time < ${until.toString()}::bigint
      order by e.order_time, e.seq offset ${scannedEventsMax - 1} limit 1
    ) last on true
    where s.stream_id = ${streamId}`;
  if (row === undefined) return undefined;
  const { retained_mark: retainedMark, order_time: orderTime, seq } = row;
  return { stopped: orderTime === null || seq === null ? undefined : { orderTime, seq }, retainedMark };
}

/** `erased`, `ip` and `userAgent`, where there are any. */
export const moreMembers = `nullif(concat(
  case when erased then ',"erased":true' end, ',"ip":"' || host(ip) || '"', ',"userAgent":' || to_json(user_agent)), '')`;

/** The stream, as the first part of a piece's statement. */
export const headQuery = `
with head as materialized (
  select s.*, tidemark.watermark(s, f.published) as watermark
  from tidemark.streams s, tidemark.fence f where s.stream_id = $1
)`;

/** All of it in one text, for `parseHead`. */
export const headText = `concat_ws(' ', identity, epoch, epoch_start, retained_mark, watermark)`;

/** The first row carries the head; the others are events in stream order. */
const statementOf = (filtered: boolean) => `${headQuery}
select ${headText},
  null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint,
  null::smallint, null::integer, null::text, null::text, null::text, null::text, null::text
from head
union all
select null, order_time, seq, event_time, received_at, occurred_at, sent_at, time_quality, bytes, id, name, key, props::text, ${moreMembers}
from ${eventsQuery(filtered)}`;

/** Rows of `tidemark.events`, in stream order, as many as a piece may have. */
export function eventsQuery(filtered: boolean): string {
  return `(
  select e.*, sum(bytes + ${restBytes}) over (order by order_time, seq rows between unbounded preceding and 1 preceding) as bytes_before
  from (
    ${filtered ? 'select * from (' : ''}
    select * from tidemark.events
    where stream_id = $1
      and order_time >= $2::bigint and (order_time, seq) > ($2::bigint, $3::bigint)
      and order_time < $4::bigint
      and order_time >= (select retained_mark from head) and order_time < (select watermark from head)
    order by order_time, seq
    limit ${filtered ? scannedEventsMax : '$5::integer'}
    ${filtered ? `) looked where ${filterCondition(7)} order by order_time, seq limit $5::integer` : ''}
  ) e
) sized
where bytes_before is null or bytes_before < $6::bigint`;
}

export const pieceStatement = statementOf(false);
export const filteredStatement = statementOf(true);

type Row = readonly [
  head: string | null,
  orderTime: bigint,
  seq: bigint,
  eventTime: bigint,
  receivedAt: bigint,
  occurredAt: bigint | null,
  sentAt: bigint | null,
  timeQuality: number,
  bytes: number,
  id: string,
  name: string,
  key: string | null,
  props: string | null,
  more: string | null,
];

export function parseHead(text: string): StreamHead {
  const [identity = '', epoch, epochStart = '', retainedMark = '', watermark = ''] = text.split(' ');
  return {
    identity: BigInt(identity),
    epoch: Number(epoch),
    epochStart: BigInt(epochStart),
    retainedMark: BigInt(retainedMark),
    watermark: BigInt(watermark),
  };
}

function eventOf(row: Row): EventRow {
  const [
    ,
    orderTime,
    seq,
    eventTime,
    receivedAt,
    occurredAt,
    sentAt,
    timeQuality,
    bytes,
    id,
    name,
    key,
    props,
    more,
  ] = row;
  return {
    orderTime,
    seq,
    eventTime,
    receivedAt,
    occurredAt,
    sentAt,
    timeQuality,
    bytes,
    id,
    name,
    key,
    props,
    more,
  };
}
