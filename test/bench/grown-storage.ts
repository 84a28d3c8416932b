import type { Sql } from '../../collector/src/store/database.ts';
import type { Measurement } from './figure.ts';

/** What an event takes on disk, by what takes it; `events` is how many there are. */
export async function measureStorage(sql: Sql, events: number): Promise<Measurement> {
  const [size] = await sql<[Record<'heap' | 'order' | 'toast' | 'claims' | 'claimIndex', number>]>`
    with parts as (
      select relid from pg_partition_tree('tidemark.events') where isleaf
    ), events as (
      select sum(pg_relation_size(relid)) as heap, sum(pg_indexes_size(relid)) as indexes,
        sum(pg_table_size(relid) - pg_relation_size(relid)) as rest
      from parts
    )
    select heap::float8, indexes::float8 as "order", rest::float8 as toast,
      pg_relation_size('tidemark.claims')::float8 as claims, pg_indexes_size('tidemark.claims')::float8 as "claimIndex"
    from events`;
  const all = Object.values(size).reduce((sum, bytes) => sum + bytes, 0);
  return {
    'bytes/event': all / events,
    'bytes/event heap of events': size.heap / events,
    'bytes/event order index': size.order / events,
    'bytes/event TOAST and maps': size.toast / events,
    'bytes/event heap of claims': size.claims / events,
    'bytes/event index of claims': size.claimIndex / events,
    'GiB in all': all / 2 ** 30,
  };
}
