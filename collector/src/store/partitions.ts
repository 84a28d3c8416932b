import type { AppendRow } from './append.ts';
import type { Sql } from './database.ts';

/** Days for which partitions are made ahead. */
export const partitionDaysAhead = 7;

/** Makes the daily partitions up to a week ahead of the floor and the clock. Answers how many it made. */
export async function makePartitionsAhead(sql: Sql): Promise<number> {
  const [row] = await sql<[{ made: number }]>`
    select tidemark.make_partitions(
      (now / 86400000000)::integer - 1,
      (now / 86400000000)::integer + ${partitionDaysAhead}
    ) as made
    from (select greatest(tidemark.clock(), f.floor) as now from tidemark.fence f) as moment`;
  return row.made;
}

/**
 * Makes the daily partitions that these events need now: there is none for the days through which no collector ran, and none
 * any more for days whose events were not kept. Answers how many it made.
 */
export async function makePartitionsFor(
  sql: Sql,
  rows: readonly Pick<AppendRow, 'stream' | 'eventTime'>[],
): Promise<number> {
  const found = await sql<{ day: number }[]>`
    select distinct (order_time / 86400000000)::integer as day
    from (select greatest(tidemark.clock(), f.floor) as arrival from tidemark.fence f) moment
    cross join unnest(
      ${`{${rows.map(({ stream }) => `"${stream}"`).join(',')}}`}::text::text[],
      ${`{${rows.map(({ eventTime }) => eventTime).join(',')}}`}::text::bigint[]
    ) r (stream, event_time)
    join tidemark.streams s on s.name = r.stream
    cross join lateral (
      select greatest(least(r.event_time, arrival), arrival - s.watermark_delay, s.order_floor) as order_time
    ) placed
    order by day`;
  let made = 0;
  for (let start = 0; start < found.length; start += daysPerStatement) {
    const days = found.slice(start, start + daysPerStatement).map(({ day }) => day);
    const [row] = await sql<[{ made: number }]>`
      select sum(tidemark.make_partitions(day, day))::integer as made
      from unnest(${`{${days.join(',')}}`}::text::integer[]) day`;
    made += row.made;
  }
  return made;
}

/** So that each stays far below the longest time that a statement may take. */
const daysPerStatement = 50;

/** The first moment that lies in a daily partition, microseconds. Everything before is in the history partition. */
export async function readFirstPartition(sql: Sql): Promise<bigint> {
  const [row] = await sql<
    [{ first: bigint }]
  >`select first_day::bigint * 86400000000 as first from tidemark.installation`;
  return row.first;
}

const dayMicros = 86_400_000_000n;

/**
 * Ends of stretches of partitions, for a read from `position` on: first to the end of its own partition and two more, then
 * ever wider, then everything. A read that finds enough in the first stretch never opens the partitions after it.
 */
export function* stretches(position: bigint, firstPartition: bigint, end: bigint): Generator<bigint> {
  const base = position < firstPartition ? firstPartition : position - (position % dayMicros) + dayMicros;
  for (let days = 2n; days <= 512n; days *= 8n) {
    const stretch = base + days * dayMicros;
    if (stretch >= end) break;
    yield stretch;
  }
  yield end;
}
