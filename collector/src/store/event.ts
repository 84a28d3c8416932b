import { claimOf } from './claim.ts';
import type { Sql } from './database.ts';
import { type Piece, readPiece } from './page.ts';

/** One event by its id, with its stream; undefined: it is not there, or no longer kept. Above the watermark it is not given yet. */
export async function readEvent(sql: Sql, streamId: number, id: string): Promise<Piece | undefined> {
  const [claim] = await sql<{ order_time: bigint; seq: bigint }[]>`
    select order_time, seq from tidemark.claims where stream_id = ${streamId} and claim = ${claimOf(id)}::uuid`;
  if (claim === undefined) return undefined;
  const piece = await readPiece(sql, {
    streamId,
    after: { orderTime: claim.order_time, seq: claim.seq - 1n },
    until: claim.order_time + 1n,
    limit: 1,
    maxBytes: Number.MAX_SAFE_INTEGER,
    filter: undefined,
  });
  return piece?.events[0]?.id === id ? piece : undefined;
}
