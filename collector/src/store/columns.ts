import { endianness } from 'node:os';
import type { Sql } from './database.ts';
import {
  eventsQuery,
  headQuery,
  headText,
  moreMembers,
  parseHead,
  type Piece,
  type PieceRequest,
  type Placed,
  pieceValues,
} from './page.ts';

/**
 * Events as they come from Postgres: a column each, not a row each. A piece is then a single row of a few large values, which costs
 * both sides a fraction of what a row for each event does, and its bytes are copied to the reply without becoming JavaScript values.
 * All columns are in stream order.
 */
export interface EventColumns {
  readonly count: number;
  /** Microseconds. */
  readonly orderTimes: Longs;
  readonly eventTimes: Longs;
  readonly receivedAts: Longs;
  /** `absent` where there is none. */
  readonly occurredAts: Longs;
  readonly sentAts: Longs;
  readonly seqs: Longs;
  /** UTF-8 bytes of id, name, key and props. */
  readonly bytes: Int32Array;
  /** A digit each. */
  readonly timeQualities: Buffer;
  /** JSON arrays of strings; a key may be null. */
  readonly ids: Buffer;
  readonly names: Buffer;
  readonly keys: Buffer;
  /** JSON texts, each but the last followed by a control character that JSON text cannot contain. */
  readonly props: Buffer;
  /** What only some events have, as JSON members with a comma before each; separated like `props`. */
  readonly more: Buffer;
}

/**
 * An event among columns, the one with this number. A class, so that its place becomes two bigints only where somebody asks for it: made for
 * every event they were garbage, without which a page costs the collector a sixth less.
 */
export class ColumnEvent implements Placed {
  readonly columns: EventColumns;
  readonly index: number;

  constructor(columns: EventColumns, index: number) {
    this.columns = columns;
    this.index = index;
  }

  get orderTime(): bigint {
    return longAt(this.columns.orderTimes, this.index);
  }

  get seq(): bigint {
    return longAt(this.columns.seqs, this.index);
  }

  get bytes(): number {
    return this.columns.bytes[this.index] ?? 0;
  }
}

/** Does what `readPiece` does; the events come as columns. */
export async function readColumnPiece(
  sql: Sql,
  request: PieceRequest,
): Promise<Piece<ColumnEvent> | undefined> {
  const statement = request.filter === undefined ? columnsStatement : filteredColumnsStatement;
  const [row] = await sql.unsafe(statement, pieceValues(request), { prepare: true }).raw();
  const head = row?.[0]?.toString('latin1') ?? '';
  // Without a stream there is no head, and none of its columns.
  if (row === undefined || head === '') return undefined;
  return { head: parseHead(head), events: eventsOf(readColumns(row, 1)) };
}

function eventsOf(columns: EventColumns): readonly ColumnEvent[] {
  return Array.from({ length: columns.count }, (_, index) => new ColumnEvent(columns, index));
}

/** Integers of 64 bits as two of 32 each, the upper half first; neither a bigint nor a double has to be made of them. */
export type Longs = Int32Array;

/** The upper half of a time that there is not; no other time has it. */
export const absent = -0x80000000;

export const textSeparator = 0x1f;

function longAt(longs: Longs, index: number): bigint {
  const [high, low] = [longs[index * 2] ?? 0, longs[index * 2 + 1] ?? 0];
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

const integers = (text: string) => `encode(string_agg(int8send(${text}), ''), 'base64')`;
const orAbsent = (column: string) => `coalesce(${column}, '-9223372036854775808'::bigint)`;

/** Aggregates over rows of `tidemark.events` in stream order. */
const columnAggregates = [
  'count(*)',
  integers('order_time'),
  integers('event_time'),
  integers('received_at'),
  integers(orAbsent('occurred_at')),
  integers(orAbsent('sent_at')),
  integers('seq'),
  `encode(string_agg(int4send(bytes), ''), 'base64')`,
  `string_agg(time_quality::text, '')`,
  'json_agg(id)',
  'json_agg(name)',
  'json_agg(key)',
  `string_agg(coalesce(props::text, 'null'), E'\\x1f')`,
  `string_agg(case when erased or ip is not null or user_agent is not null then ${moreMembers} else '' end, E'\\x1f')`,
].join(',\n    ');

/** One row: the head, and the events' columns. */
const statementOf = (filtered: boolean) => `${headQuery}
select (select ${headText} from head),
    ${columnAggregates}
from ${eventsQuery(filtered)}`;

export const columnsStatement = statementOf(false);
export const filteredColumnsStatement = statementOf(true);

/** Reads them from the columns of a raw row, from the one with this number on. */
function readColumns(row: readonly (Buffer | null)[], first: number): EventColumns {
  const text = (column: number): Buffer => row[first + column] ?? nothing;
  const binary = (column: number): Int32Array =>
    halvesOf(Buffer.from(text(column).toString('latin1'), 'base64'));
  return {
    count: Number(text(0).toString('latin1')),
    orderTimes: binary(1),
    eventTimes: binary(2),
    receivedAts: binary(3),
    occurredAts: binary(4),
    sentAts: binary(5),
    seqs: binary(6),
    bytes: binary(7),
    timeQualities: text(8),
    ids: text(9),
    names: text(10),
    keys: text(11),
    props: text(12),
    more: text(13),
  };
}

const nothing = Buffer.alloc(0);

/** From the order of the network to that of this machine. */
function halvesOf(bytes: Buffer): Int32Array {
  if (endianness() === 'LE') bytes.swap32();
  // Node begins every buffer at a multiple of eight.
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}
