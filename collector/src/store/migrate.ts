import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { migrate as runMigrations } from 'drizzle-orm/postgres-js/migrator';
import { connect, createQuery } from './database.ts';

/**
 * Brings the database up to the newest schema. Several collectors may start at once: one migrates, the others wait up to a
 * minute for it.
 */
export async function migrate(url: string): Promise<void> {
  // One connection: the advisory lock belongs to a session.
  const sql = connect(url, 'tidemark migrate', 1, {
    statement_timeout: 60_000,
    client_min_messages: 'warning',
  });
  try {
    await sql`select pg_advisory_lock(${lockClass}::integer, 0)`;
    await runMigrations(createQuery(sql), {
      migrationsFolder: migrationsFolder(),
      migrationsSchema: 'tidemark',
      migrationsTable: 'migrations',
    });
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const lockClass = 1_953_064_293;

/** In the published package the migrations lie inside it, in the workspace beside it. */
export function migrationsFolder(): string {
  const places = ['../../migrations', '../../../migrations'].map((place) =>
    fileURLToPath(new URL(place, import.meta.url)),
  );
  const found = places.find((place) => existsSync(`${place}/meta/_journal.json`));
  if (found === undefined) throw new Error(`The migrations are missing: looked in ${places.join(' and ')}`);
  return found;
}
