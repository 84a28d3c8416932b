// One Postgres for a whole run of the tests, with one migrated database in it, from which each test file gets its copy.

import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import type { TestProject } from 'vitest/node';
import { migrate } from '../../collector/src/store/migrate.ts';
import { startServerForRun } from './run-server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    testServer: {
      /** A user that may create databases, connected to any of them. */
      readonly adminUrl: string;
      readonly templateDatabase: string;
      /** What the names of this run's databases begin with; two runs may share a server. */
      readonly databasePrefix: string;
    };
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startServerForRun(project.name === 'system' ? 'system' : 'embedded');
  const run = randomBytes(4).toString('hex');
  const templateDatabase = `tidemark_template_${run}`;
  const databasePrefix = `tidemark_test_${run}_`;
  const sql = postgres(server.adminUrl, { max: 1, onnotice: () => {} });
  try {
    const [{ version } = { version: 'of no version' }] = await sql<{ version: string }[]>`
      select current_setting('server_version') as version`;
    console.log(`Postgres ${version} (${server.kind})`);
    await sql`create database ${sql(templateDatabase)} template template0`;
    await migrate(databaseUrl(server.adminUrl, templateDatabase));
  } catch (error) {
    await sql.end();
    await server.stop();
    throw error;
  }
  project.provide('testServer', { adminUrl: server.adminUrl, templateDatabase, databasePrefix });

  return async () => {
    const left = await sql<{ datname: string }[]>`
      select datname from pg_database where datname = ${templateDatabase} or starts_with(datname, ${databasePrefix})`;
    for (const { datname } of left) await sql`drop database ${sql(datname)} with (force)`;
    await sql.end();
    await server.stop();
  };
}

function databaseUrl(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}
