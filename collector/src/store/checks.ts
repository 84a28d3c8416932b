import type { Sql } from './database.ts';

/** A database that the collector cannot keep its promises on. */
export class UnfitDatabaseError extends Error {
  override readonly name = 'UnfitDatabaseError';
}

/**
 * Refuses databases that the fence does not work on: Postgres before 15, or one whose advisory locks do not show in
 * `pg_locks` (some poolers and look-alikes).
 */
export async function checkDatabase(sql: Sql): Promise<void> {
  const [version] = await sql<
    { version: number }[]
  >`select current_setting('server_version_num')::integer as version`;
  if (version === undefined || version.version < 150_000) {
    throw new UnfitDatabaseError(
      `Tidemark needs Postgres 15 or newer, this one says ${version?.version ?? 'nothing'}. Point DATABASE_URL at a newer one.`,
    );
  }
  const visible = await sql.begin(async (transaction) => {
    await transaction`select pg_advisory_xact_lock_shared(1953064291, 0)`;
    const holders = await transaction`select from tidemark.holders() where stream_id = 0`;
    return holders.length > 0;
  });
  if (!visible) {
    throw new UnfitDatabaseError(
      'The advisory locks of this database do not show in pg_locks, so the order of events could not be guarded. ' +
        'Use a Postgres server directly, not through a pooler in statement mode or a look-alike.',
    );
  }
}

/** Refuses a database that no collector has set up yet. */
export async function checkMigrated(sql: Sql): Promise<void> {
  const [found] = await sql<
    { present: boolean }[]
  >`select to_regclass('tidemark.keys') is not null as present`;
  if (found?.present !== true) {
    throw new UnfitDatabaseError(
      'This database has no tables of Tidemark: start a collector on it once, or see DATABASE_URL.',
    );
  }
}
