import type { Sql } from './database.ts';

/** How far retained marks move at once, in microseconds: an earliest cursor stays good for up to so long. */
export const markStepMicros = 3_600_000_000n;

/** Streams whose marks one statement publishes: appends and the advancer wait for no longer than that takes. */
const streamsPerStatement = 1_000;

/** Publishes the retained marks that are due, and says of how many streams. What is below a mark is gone for every reader. */
export async function publishMarks(sql: Sql, stepMicros: bigint): Promise<number> {
  for (let total = 0; ; ) {
    const [row] = await sql<[{ moved: number }]>`
      select tidemark.publish_marks(${stepMicros.toString()}::bigint, ${streamsPerStatement}::integer) as moved`;
    total += row.moved;
    if (row.moved < streamsPerStatement) return total;
  }
}
