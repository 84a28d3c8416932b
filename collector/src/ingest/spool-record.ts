import type { AppendRow } from '../store/append.ts';
import { claimOf } from '../store/claim.ts';

/**
 * The rows of one request as one record of the spool: a line of JSON with a member for each column, and behind it the props, each as the text
 * that was sent. What all rows share, as the times of a batch, is written once.
 */
export function encodeRows(rows: readonly AppendRow[]): Buffer {
  const head: Record<string, unknown> = { rows: rows.length };
  for (const name of names) head[name] = shared(rows.map((row) => toJson(row[name])));
  const props = rows.map((row) => row.props ?? nullText).join(separator);
  return Buffer.from(`${JSON.stringify(head)}\n${props}`, 'utf8');
}

/** The same rows again. Throws on a record that this version did not write: its bytes were checked before. */
export function decodeRows(record: Buffer): AppendRow[] {
  const lineEnd = record.indexOf('\n');
  const head = JSON.parse(record.toString('utf8', 0, lineEnd)) as Head;
  const props = record.toString('utf8', lineEnd + 1).split(separator);
  if (lineEnd < 0 || props.length !== head.rows) throw new Error('A record of the spool cannot be read');
  const value = (name: Column, at: number): Plain => {
    const column = head[name] ?? null;
    return Array.isArray(column) ? (column[at] ?? null) : (column as Plain);
  };
  return props.map((text, at) => {
    const id = String(value('id', at));
    return {
      stream: String(value('stream', at)),
      claim: claimOf(id),
      id,
      name: String(value('name', at)),
      key: textOf(value('key', at)),
      props: text === nullText ? null : text,
      occurredAt: microsOf(value('occurredAt', at)),
      sentAt: microsOf(value('sentAt', at)),
      receivedAt: BigInt(String(value('receivedAt', at))),
      eventTime: BigInt(String(value('eventTime', at))),
      timeQuality: Number(value('timeQuality', at)),
      ip: textOf(value('ip', at)),
      userAgent: textOf(value('userAgent', at)),
    };
  });
}

/** JSON text has neither of them: see the append, which sends props to Postgres in the same way. */
const separator = '\x1f';
const nullText = '\x1e';

type Column = Exclude<keyof AppendRow, 'claim' | 'props'>;
type Plain = string | number | null;
type Head = { readonly rows: number } & { readonly [Name in Column]?: Plain | readonly Plain[] };

/** Every column there is: one that is added to the row must be added here. */
const columns: Record<Column, true> = {
  stream: true,
  id: true,
  name: true,
  key: true,
  occurredAt: true,
  sentAt: true,
  receivedAt: true,
  eventTime: true,
  timeQuality: true,
  ip: true,
  userAgent: true,
};
const names = Object.keys(columns) as readonly Column[];

function toJson(value: AppendRow[Column]): Plain {
  return typeof value === 'bigint' ? String(value) : value;
}

function shared(values: readonly Plain[]): Plain | readonly Plain[] {
  const [first = null] = values;
  return values.every((value) => value === first) ? first : values;
}

function textOf(value: Plain): string | null {
  return value === null ? null : String(value);
}

function microsOf(value: Plain): bigint | null {
  return value === null ? null : BigInt(value);
}
