import type { Sql } from './database.ts';

/** An event that is ready to be stored. Times are microseconds. */
export interface AppendRow {
  readonly stream: string;
  readonly claim: string;
  readonly id: string;
  readonly name: string;
  readonly key: string | null;
  /** JSON text. */
  readonly props: string | null;
  readonly occurredAt: bigint | null;
  readonly sentAt: bigint | null;
  readonly receivedAt: bigint;
  readonly eventTime: bigint;
  readonly timeQuality: number;
  /** Of the request that brought it; null where its stream does not ask for them. */
  readonly ip: string | null;
  readonly userAgent: string | null;
}

/** Stores rows in one transaction: see `appendRows`. */
export type Append = (rows: readonly AppendRow[], streamIds: readonly number[]) => Promise<readonly number[]>;

/** So many rows are worth the little that a first try costs more when it fails. */
const tryRowsMin = 20;
/** After an id was found to be taken as many transactions look at each of them first. */
const lookTransactions = 100;

/** An `appendRows` that looks first whether ids are taken while some lately were. */
export function createAppend(sql: Sql): Append {
  let looks = 0;
  return async (rows, streamIds) => {
    const taken = await appendRows(sql, rows, streamIds, rows.length < tryRowsMin || looks > 0);
    if (taken.length > 0) looks = lookTransactions;
    else if (looks > 0) looks -= 1;
    return taken;
  };
}

/**
 * Stores rows in one transaction and answers with the positions of those whose id was already taken. When it returns, the
 * rows are on disk. Rows must be in event-time order; `streamIds` goes beside them. `looksFirst`: some ids are likely to be taken; else that is
 * found out by failing, which costs a third less of what ids cost where none is, and half as much again where one is.
 *
 * Texts travel as one string a column, joined by a control character that JSON text cannot contain, which costs a third of
 * what quoting each of them does, on both sides. Rows with such characters in id, name or key go as quoted arrays.
 */
export async function appendRows(
  sql: Sql,
  rows: readonly AppendRow[],
  streamIds: readonly number[],
  looksFirst = true,
): Promise<readonly number[]> {
  const ids = rows.map((row) => row.id);
  const names = rows.map((row) => row.name);
  const keys = rows.map((row) => row.key);
  const plain = ids.every(joins) && names.every(joins) && keys.every(joins);
  const text = plain ? joinTexts : quoteTexts;
  const [answer] = await sql.unsafe<[{ taken: string | null }]>(
    plain ? appendJoined : appendQuoted,
    [
      `{${streamIds.join(',')}}`,
      numbers(rows, (row) => row.claim),
      text(ids),
      text(names),
      text(keys),
      joinTexts(rows.map((row) => row.props)),
      numbers(rows, (row) => row.occurredAt),
      numbers(rows, (row) => row.sentAt),
      numbers(rows, (row) => row.receivedAt),
      numbers(rows, (row) => row.eventTime),
      numbers(rows, (row) => row.timeQuality),
      rows.some((row) => row.userAgent !== null) ? quoteTexts(rows.map((row) => row.userAgent)) : null,
      rows.some((row) => row.ip !== null) ? numbers(rows, (row) => row.ip) : null,
      looksFirst,
    ],
    { prepare: true },
  );
  return answer.taken === null
    ? []
    : answer.taken
        .slice(1, -1)
        .split(',')
        .map((position) => Number(position) - 1);
}

/** Of these streams, those that somebody holds exclusively, or waits to: no append can have them. */
export async function readHeldStreams(sql: Sql, streamIds: readonly number[]): Promise<ReadonlySet<number>> {
  const rows = await sql<{ stream_id: number }[]>`
    select objid::bigint::integer as stream_id from pg_locks
    where locktype = 'advisory' and classid = 1953064291 and objsubid = 2 and mode = 'ExclusiveLock'
      and database = (select oid from pg_database where datname = current_database())
      and objid = any (${`{${streamIds.join(',')}}`}::oid[])`;
  return new Set(rows.map(({ stream_id }) => stream_id));
}

/** Between texts (unit separator), and for null (record separator): see `string_to_array`. */
const separator = '\x1f';
const nullText = '\x1e';

const split = (parameter: string) => `string_to_array(${parameter}::text, E'\\x1f', E'\\x1e')`;
const array = (parameter: string, type: string) => `${parameter}::text::${type}[]`;

const statement = (texts: (parameter: string) => string) => `select tidemark.append(
  ${array('$1', 'integer')}, ${array('$2', 'uuid')}, ${texts('$3')}, ${texts('$4')}, ${texts('$5')}, ${split('$6')},
  ${array('$7', 'bigint')}, ${array('$8', 'bigint')}, ${array('$9', 'bigint')}, ${array('$10', 'bigint')}, ${array('$11', 'smallint')},
  ${array('$12', 'text')}, ${array('$13', 'inet')}, $14
)::text as taken`;

const appendJoined = statement(split);
const appendQuoted = statement((parameter) => array(parameter, 'text'));

/** An empty text is left out because an array of one empty text would come out as an empty array. */
function joins(text: string | null): boolean {
  return text === null || (text !== '' && text !== nullText && !text.includes(separator));
}

function joinTexts(texts: readonly (string | null)[]): string {
  return texts.map((text) => text ?? nullText).join(separator);
}

function quoteTexts(texts: readonly (string | null)[]): string {
  return `{${texts.map((text) => (text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`)).join(',')}}`;
}

/** Neighbours often have the same value, as the times of a batch do: its text is made once. */
function numbers(
  rows: readonly AppendRow[],
  value: (row: AppendRow) => bigint | number | string | null,
): string {
  let last: bigint | number | string | null = null;
  let text = 'NULL';
  const texts = rows.map((row) => {
    const next = value(row);
    if (next !== last) {
      last = next;
      text = next === null ? 'NULL' : String(next);
    }
    return text;
  });
  return `{${texts.join(',')}}`;
}
