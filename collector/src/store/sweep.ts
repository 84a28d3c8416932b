import type { Sql } from './database.ts';

/** One small delete. */
export interface Swept {
  readonly deleted: number;
  /** There may be more to do. */
  readonly more: boolean;
}

/** Rows of one delete: more at once would hold back vacuum and replicas. */
export const sweepRowsMax = 5_000;

/** Deletes the oldest events of a stream that are below its retained mark, or of a deleted stream. */
export async function sweepEvents(sql: Sql): Promise<Swept> {
  const [row] = await sql<
    [{ stream: number | null; deleted: number }]
  >`select stream, deleted from tidemark.sweep_events(${sweepRowsMax}::integer)`;
  return { deleted: row.deleted, more: row.stream !== null };
}

/** Deletes claims of a deleted stream. */
export async function sweepClaims(sql: Sql): Promise<Swept> {
  const [row] = await sql<
    [{ stream: number | null; deleted: number }]
  >`select stream, deleted from tidemark.sweep_claims(${sweepRowsMax}::integer)`;
  return { deleted: row.deleted, more: row.stream !== null };
}

/** Pages of claims that one delete looks at: they hold fewer rows than one delete may take. */
export const claimPagesMax = 40;

/** Deletes the claims on the next pages that are out of their stream's dedupe window. */
export async function expireClaims(sql: Sql): Promise<{ deleted: number; pagesTotal: bigint }> {
  const [row] = await sql<
    [{ deleted: number; pages_total: bigint }]
  >`select deleted, pages_total from tidemark.expire_claims(${claimPagesMax}::integer)`;
  return { deleted: row.deleted, pagesTotal: row.pages_total };
}

/** Deletes dead letters that are older than this, the oldest first. */
export async function expireLetters(sql: Sql, micros: bigint): Promise<Swept> {
  const [row] = await sql<[{ deleted: number }]>`
    select tidemark.expire_dead_letters(tidemark.clock() - ${micros.toString()}::bigint, ${lettersMax}::integer) as deleted`;
  return { deleted: row.deleted, more: row.deleted === lettersMax };
}

/** A letter may have 64 KiB. */
const lettersMax = 500;
