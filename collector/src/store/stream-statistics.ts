import type { Sql } from './database.ts';

/** What can be said of a stream from its newest events. Times are microseconds. */
export interface StreamStatistics {
  /** Events that are kept. */
  readonly events: number;
  /** `events` was counted; else Postgres' planner estimated it. */
  readonly counted: boolean;
  /** How many of the newest events below the watermark the rest is about. */
  readonly sampled: number;
  /** Order times of the first and the last of them; null where there are none. */
  readonly first: bigint | null;
  readonly last: bigint | null;
  /** Events of the last minute below the watermark, at most `rateEventsMax`. */
  readonly lastMinute: number;
  /** Of the sampled ones. */
  readonly late: number;
  /** By how much the late ones are late: median, 90 %, 99 % and most; null where none is. */
  readonly lateness: readonly [bigint, bigint, bigint, bigint] | null;
}

/** Events that are looked at: the newest ones. */
const sampledMax = 1_000;
/** Up to so many are counted one by one. */
const countedMax = 10_000;
const rateEventsMax = 100_000;

/** Bounded work, however large the stream is. */
export async function readStatistics(sql: Sql, streamId: number): Promise<StreamStatistics> {
  const [row] = await sql<[StatisticsRow]>`
    with head as materialized (
      select s.retained_mark, tidemark.watermark(s, f.published) as watermark
      from tidemark.streams s, tidemark.fence f where s.stream_id = ${streamId}
    ), newest as materialized (
      select order_time, event_time from tidemark.events
      where stream_id = ${streamId}
        and order_time >= (select retained_mark from head) and order_time < (select watermark from head)
      order by order_time desc, seq desc limit ${sampledMax}
    ), late as (
      select order_time - event_time as lateness from newest where order_time > event_time
    )
    select
      (select count(*)::integer from (
        select from tidemark.events
        where stream_id = ${streamId} and order_time >= (select retained_mark from head) limit ${countedMax + 1}
      ) kept) as counted,
      (select count(*)::integer from newest) as sampled,
      (select min(order_time) from newest) as first,
      (select max(order_time) from newest) as last,
      (select count(*)::integer from (
        select from tidemark.events
        where stream_id = ${streamId} and order_time >= (select watermark - 60000000 from head)
          and order_time < (select watermark from head) limit ${rateEventsMax}
      ) recent) as last_minute,
      (select count(*)::integer from late) as late,
      (select percentile_disc(array[0.5, 0.9, 0.99, 1]) within group (order by lateness) from late)::text as lateness`;
  const counted = row.counted <= countedMax;
  return {
    events: counted ? row.counted : await estimate(sql, streamId, row.counted),
    counted,
    sampled: row.sampled,
    first: row.first,
    last: row.last,
    lastMinute: row.last_minute,
    late: row.late,
    lateness: parseLateness(row.lateness),
  };
}

interface StatisticsRow {
  readonly counted: number;
  readonly sampled: number;
  readonly first: bigint | null;
  readonly last: bigint | null;
  readonly last_minute: number;
  readonly late: number;
  readonly lateness: string | null;
}

/** What the planner expects: as good as the last ANALYZE, and no less than was counted. */
async function estimate(sql: Sql, streamId: number, least: number): Promise<number> {
  const [row] = await sql<[{ 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }]>`
    explain (format json) select from tidemark.events where stream_id = ${streamId}
      and order_time >= (select retained_mark from tidemark.streams where stream_id = ${streamId})`;
  return Math.max(least, row['QUERY PLAN'][0].Plan['Plan Rows']);
}

function parseLateness(text: string | null): StreamStatistics['lateness'] {
  if (text === null) return null;
  const [median, ninety, ninetyNine, most] = text.slice(1, -1).split(',').map(BigInt);
  if (median === undefined || ninety === undefined || ninetyNine === undefined || most === undefined)
    return null;
  return [median, ninety, ninetyNine, most];
}
