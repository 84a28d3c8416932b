import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { startEmbeddedPostgres } from '../../collector/src/store/embedded.ts';
import { migrate } from '../../collector/src/store/migrate.ts';
import { descendantsOf } from '../harness/processes.ts';
import { quietLog } from '../harness/quiet-log.ts';
import { makeEnterableFolder } from '../harness/enterable-folder.ts';
import { type CpuMeter, familyMeter } from './cpu.ts';

/** The product's own Postgres, with the product's settings, durability included. */
export interface BenchPostgres {
  readonly version: string;
  readonly cpu: CpuMeter;
  /** A new, migrated database; its URL. */
  createDatabase(): Promise<string>;
  /** Stops all of its processes where they are. */
  halt(): Promise<void>;
  goOn(): Promise<void>;
  stop(): Promise<void>;
}

export async function startBenchPostgres(): Promise<BenchPostgres> {
  const folder = await makeEnterableFolder('tidemark-bench-');
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  try {
    const server = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), log: quietLog });
    const admin = connect(server.url, 'tidemark bench', 1, {});
    const [found] = await admin<{ server_version: string }[]>`show server_version`;
    let databases = 0;
    const signal = async (name: 'SIGSTOP' | 'SIGCONT'): Promise<void> => {
      for (const pid of [server.pid, ...(await descendantsOf(server.pid))]) process.kill(pid, name);
    };
    return {
      version: found?.server_version ?? 'unknown',
      cpu: familyMeter(server.pid),
      async createDatabase() {
        databases += 1;
        const name = `bench_${databases}`;
        await admin.unsafe(`create database ${name}`);
        const url = new URL(server.url);
        url.pathname = `/${name}`;
        await migrate(url.href);
        return url.href;
      },
      halt: () => signal('SIGSTOP'),
      goOn: () => signal('SIGCONT'),
      async stop() {
        await admin.end();
        await server.stop();
        await removeFolder();
      },
    };
  } catch (error) {
    await removeFolder();
    throw error;
  }
}

/** What every measured write begins with: empty tables, and nothing left to be written by a checkpoint. */
export async function emptyTables(sql: Sql): Promise<void> {
  await sql`truncate tidemark.events, tidemark.claims`;
  await sql`checkpoint`;
}

/** How much of `G2` there is in the database's append. */
export type AppendVariant = 'as it is' | 'without claims';

/** Replaces the append function of a database by one that claims nothing, or puts the true one back. */
export async function createAppendSwitch(sql: Sql): Promise<(variant: AppendVariant) => Promise<void>> {
  const [found] = await sql<{ source: string }[]>`
    select pg_get_functiondef(oid) as source from pg_proc where oid = 'tidemark.append'::regproc`;
  const source = found?.source ?? '';
  const claiming = /IF NOT look_first THEN[\s\S]*?END IF;\s*END IF;/g;
  if (source.match(claiming)?.length !== 1)
    throw new Error('tidemark.append has changed: the bench does not find where it claims ids');
  const sources = { 'as it is': source, 'without claims': source.replace(claiming, '') };
  return async (variant) => {
    await sql.unsafe(sources[variant]);
  };
}
