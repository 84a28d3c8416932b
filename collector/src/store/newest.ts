import type { Sql } from './database.ts';
import type { Position } from './page.ts';

/** The watermark of a stream, and the last event below it that is not before `since`. Undefined: there is no such stream. */
export async function readNewest(
  sql: Sql,
  streamId: number,
  since: bigint,
): Promise<{ watermark: bigint; last: Position | undefined } | undefined> {
  const [row] = await sql<{ watermark: bigint; order_time: bigint | null; seq: bigint | null }[]>`
    with head as materialized (
      select tidemark.watermark(s, f.published) as watermark
      from tidemark.streams s, tidemark.fence f where s.stream_id = ${streamId}
    )
    select head.watermark, last.order_time, last.seq
    from head left join lateral (
      select e.order_time, e.seq from tidemark.events e
      where e.stream_id = ${streamId} and e.order_time >= ${since.toString()}::bigint and e.order_time < head.watermark
      order by e.order_time desc, e.seq desc limit 1
    ) last on true`;
  if (row === undefined) return undefined;
  const { watermark, order_time: orderTime, seq } = row;
  return { watermark, last: orderTime === null || seq === null ? undefined : { orderTime, seq } };
}
