import type { Sql } from '../../collector/src/store/database.ts';

export const dayMicros = 86_400_000_000n;

/** Gives a fresh database a past: daily partitions that begin so many days ago. Answers with the first moment of today. */
export async function makePast(sql: Sql, days: number): Promise<bigint> {
  const [row] = await sql<[{ today: number }]>`
    update tidemark.installation set first_day = tidemark.clock() / 86400000000 - ${days}::integer
    returning first_day + ${days}::integer as today`;
  await sql`drop table tidemark.events_history`;
  for (let first = row.today - days - 1; first <= row.today + 7; first += daysPerStatement) {
    const last = Math.min(first + daysPerStatement - 1, row.today + 7);
    await sql`select tidemark.make_partitions(${first}::integer, ${last}::integer)`;
  }
  return BigInt(row.today) * dayMicros;
}

/** So that each stays far below the longest time that a statement may take. */
const daysPerStatement = 50;

/** Names of the partitions there are, oldest first. */
export async function listPartitions(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ partition: string }[]>`select partition from tidemark.partitions() order by lower`;
  return rows.map(({ partition }) => partition);
}

/** The name of the partition of a moment. */
export function partitionOf(micros: bigint): string {
  return `events_${new Date(Number(micros / 1_000n)).toISOString().slice(0, 10).replaceAll('-', '')}`;
}
