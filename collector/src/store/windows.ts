import type { Sql } from './database.ts';
import type { StreamHead } from './page.ts';

/** What of an event names its group: its name, its key, or a place in its props. */
export type Grouping = 'name' | 'key' | { readonly path: readonly string[] };

export interface PanesRequest {
  readonly streamId: number;
  /** Of each window, microseconds. */
  readonly sizeMicros: bigint;
  /** Order times, the second exclusive; both on the boundary of a window, and below the watermark. */
  readonly from: bigint;
  readonly to: bigint;
  readonly groupBy: Grouping | undefined;
  /** A place in the props. */
  readonly sum: readonly string[] | undefined;
  /** Panes to leave out, and the most to give. */
  readonly skip: number;
  readonly limit: number;
}

/** What the events of one window have in common: from which window they are, and of which group. */
export interface PaneRow {
  /** Beginnings of windows, microseconds: of the one that holds the events, and of the one they belong to. */
  readonly window: bigint;
  readonly paneWindow: bigint;
  /** JSON text. */
  readonly group: string;
  readonly count: bigint;
  /** A number as text; null: nothing was summed. */
  readonly sum: string | null;
}

/** Characters of a group that is a text; those that agree so far are one group. */
export const groupCharactersMax = 256;
/**
 * Numbers with more digits before or after the point are neither summed nor groups of their own: there are numbers that are short to write
 * and a hundred thousand digits long.
 */
export const numberDigitsMax = 120;

/** Counts and sums by window, pane and group; each event is read once. Undefined: there is no such stream any more. */
export async function readPanes(sql: Sql, request: PanesRequest): Promise<readonly PaneRow[]> {
  const { streamId, sizeMicros, from, to, groupBy, sum, skip, limit } = request;
  const path = typeof groupBy === 'object' ? groupBy.path : undefined;
  const rows: readonly unknown[] = await sql
    .unsafe(
      panesStatement(groupBy, sum !== undefined),
      [
        streamId,
        from.toString(),
        to.toString(),
        sizeMicros.toString(),
        skip,
        limit,
        ...(path === undefined ? [] : [arrayOf(path)]),
        ...(sum === undefined ? [] : [arrayOf(sum)]),
      ],
      { prepare: true },
    )
    .values();
  return (rows as readonly [bigint, bigint, string | null, bigint, string | null][]).map(
    ([window, paneWindow, group, count, total]) => ({
      window,
      paneWindow,
      group: group ?? 'null',
      count,
      sum: total,
    }),
  );
}

export function panesStatement(groupBy: Grouping | undefined, sums: boolean): string {
  const byPath = typeof groupBy === 'object';
  const sumPath = byPath ? '$8' : '$7';
  return `
select "window", pane, ${groupText(groupBy)} as "group", count(*), ${sums ? 'trim_scale(sum(value))::text' : 'null::text'}
from (
  select tidemark.round_down(order_time, $4::bigint) as "window",
    tidemark.round_down(least(event_time, order_time), $4::bigint) as pane,
    ${groupExpression(groupBy)} as grouped,
    ${sums ? valueExpression(`${sumPath}::text[]`) : 'null::numeric'} as value
  from tidemark.events
  where stream_id = $1 and order_time >= $2::bigint and order_time < $3::bigint
) e
group by "window", pane, grouped
order by "window", pane desc, grouped nulls first
offset $5::integer limit $6::integer`;
}

// `offset 0` keeps Postgres from putting an expression in every place where its name stands: each would read the props anew.

/** As a column to group by, with an order that does not depend on where Postgres runs. */
function groupExpression(groupBy: Grouping | undefined): string {
  if (groupBy === undefined) return 'null::text';
  if (groupBy === 'name' || groupBy === 'key') return `${groupBy} collate "C"`;
  // What is no text, number or truth value is a group with what is not there, and so are numbers that are too long.
  return `(select case jsonb_typeof(found) when 'string' then to_jsonb(left(found #>> '{}', ${groupCharactersMax}))
      when 'number' then case when ${isShort("(found #>> '{}')::numeric")} then found end when 'boolean' then found end
    from (select (props #> $7::text[])::jsonb as found offset 0) place)`;
}

function groupText(groupBy: Grouping | undefined): string {
  return typeof groupBy === 'object' ? 'grouped::text' : 'to_json(grouped)::text';
}

function valueExpression(path: string): string {
  return `(select case when ${isShort('number')} then number end
      from (select case when json_typeof(found) = 'number' then found::text::numeric end as number
        from (select props #> ${path} as found offset 0) place offset 0) read)`;
}

function isShort(number: string): string {
  return `abs(${number}) < 1e${numberDigitsMax} and scale(${number}) <= ${numberDigitsMax}`;
}

/** A Postgres array of texts. */
function arrayOf(path: readonly string[]): string {
  return `{${path.map((step) => `"${step.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;
}

export interface ExtentRequest {
  readonly streamId: number;
  /** Order times, the second exclusive. */
  readonly from: bigint;
  readonly to: bigint;
  /** How far to count from the first event on, microseconds: no further than will be asked for. */
  readonly span: bigint;
  readonly events: number;
}

/** The order time of the first event of a range, if there is one; and of the one before which so many are, if there are so many within the span. */
export async function readExtent(
  sql: Sql,
  { streamId, from, to, span, events }: ExtentRequest,
): Promise<{ readonly first: bigint | undefined; readonly last: bigint | undefined }> {
  const [row] = await sql<[{ first: bigint | null; last: bigint | null }]>`
    with first as materialized (
      select order_time from tidemark.events
      where stream_id = ${streamId} and order_time >= ${from.toString()}::bigint and order_time < ${to.toString()}::bigint
      order by order_time, seq limit 1
    )
    select (select order_time from first) as first,
      (select order_time from tidemark.events
        where stream_id = ${streamId} and order_time >= ${from.toString()}::bigint and order_time < ${to.toString()}::bigint
          and order_time >= (select order_time from first)
          and order_time < (select order_time + ${span.toString()}::bigint from first)
        order by order_time, seq offset ${events} limit 1) as last`;
  return { first: row.first ?? undefined, last: row.last ?? undefined };
}

/** The stream as it is now. Undefined: there is none. */
export async function readHead(sql: Sql, streamId: number): Promise<StreamHead | undefined> {
  const [row] = await sql<HeadRow[]>`
    select s.identity, s.epoch, s.epoch_start, s.retained_mark, tidemark.watermark(s, f.published) as watermark
    from tidemark.streams s, tidemark.fence f where s.stream_id = ${streamId}`;
  if (row === undefined) return undefined;
  const { identity, epoch, epoch_start: epochStart, retained_mark: retainedMark, watermark } = row;
  return { identity, epoch, epochStart, retainedMark, watermark };
}

interface HeadRow {
  readonly identity: bigint;
  readonly epoch: number;
  readonly epoch_start: bigint;
  readonly retained_mark: bigint;
  readonly watermark: bigint;
}
