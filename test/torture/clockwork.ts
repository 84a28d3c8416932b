import type { Sql } from '../../collector/src/store/database.ts';

/**
 * The database's clock, which can be moved from outside. The offsets are rows in the database; what they are at any moment is
 * also known here.
 */
export interface Clockwork {
  read(): { readonly micros: bigint; readonly era: number; readonly even: boolean };
  /**
   * Moves the database's clock. `agreed`: the clocks of the collectors, by which they judge it, move with it; otherwise they
   * contradict it. Rejects while Postgres is away: then the clock is somewhere, until the next move.
   */
  jump(byMicros: bigint, agreed: boolean): Promise<void>;
  /** Moves all clocks to where the furthest of them ever was: nothing is ahead of them any more. */
  settle(): Promise<void>;
}

export function createClockwork(sql: Sql): Clockwork {
  let offset = 0n;
  let furthest = 0n;
  let moving = false;
  // Counts the jumps.
  let era = 0;

  async function move(to: bigint, agreed: boolean): Promise<void> {
    era += 1;
    moving = true;
    // Before it is known: where the reply is lost, the clock may have been there.
    if (to > furthest) furthest = to;
    await sql`update torture.clock set clock_offset = ${to}, witness_offset = case when ${agreed} then ${to} else witness_offset end`;
    offset = to;
    era += 1;
    moving = false;
  }

  return {
    read: () => ({
      micros: BigInt(Date.now()) * 1_000n + offset,
      era,
      // While the clock is behind where it was, the fence goes on by itself.
      even: !moving && offset === furthest,
    }),
    jump: (byMicros, agreed) => move(offset + byMicros, agreed),
    settle: () => move(furthest, true),
  };
}
