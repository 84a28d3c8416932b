import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import { inject } from 'vitest';

/** A database of a test file's own. */
export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  /** Removes it, together with connections that are still open. */
  readonly drop: () => Promise<void>;
}

// Any number that nothing else on the server locks in its database of administration.
const copyLock = 7_316_021;

/**
 * Makes a database: a copy of the run's migrated template, or an empty one with `migrate: false`.
 *
 * Postgres refuses to copy a database that is being copied, so copies wait for each other.
 */
export async function createTestDatabase({
  migrate = true,
}: {
  migrate?: boolean;
} = {}): Promise<TestDatabase> {
  const { adminUrl, templateDatabase, databasePrefix } = inject('testServer');
  const name = databasePrefix + randomBytes(4).toString('hex');
  const template = migrate ? templateDatabase : 'template0';
  await asAdmin(adminUrl, async (sql) => {
    await sql`select pg_advisory_lock(${copyLock})`;
    await sql`create database ${sql(name)} template ${sql(template)}`;
  });
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    name,
    drop: () =>
      asAdmin(adminUrl, async (sql) => {
        await sql`drop database if exists ${sql(name)} with (force)`;
      }),
  };
}

async function asAdmin(adminUrl: string, work: (sql: postgres.Sql) => Promise<void>): Promise<void> {
  // One connection, so that it holds the advisory lock; the lock ends with it.
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}
