// What the tests of the embedded Postgres share: a folder of their own, starts that are stopped again, and owners to kill.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { expect, onTestFinished } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../collector/src/store/embedded.ts';
import type { EmbeddedLog } from '../../collector/src/store/embedded-log.ts';
import { processCommand } from '../../collector/src/store/embedded-process.ts';
import { childrenOf, killAll } from './processes.ts';
import { makeEnterableFolder } from './enterable-folder.ts';

/** A folder for one test's data, with what was logged while it was used. */
export interface EmbeddedCase {
  readonly folder: string;
  readonly dataDir: string;
  /** As `level: message`. */
  readonly logged: string[];
  readonly log: EmbeddedLog;
  /** Starts a server in the folder; stopped at the end of the test. */
  readonly start: () => Promise<EmbeddedPostgres>;
  /** Starts a process that starts a server in the folder; killed at the end of the test. */
  readonly spawnOwner: () => ChildProcess;
  /** Folders in which initdb is at work, or was. */
  readonly unfinished: () => Promise<string[]>;
}

/** Makes a folder for the test that is running, and removes it at its end. */
export async function createEmbeddedCase(): Promise<EmbeddedCase> {
  const folder = await makeEnterableFolder('tidemark-embedded-');
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const dataDir = join(folder, 'data dir ü', 'postgres');
  const logged: string[] = [];
  const note = (level: string) => (_: object, message: string) => void logged.push(`${level}: ${message}`);
  const log = { debug: () => {}, info: note('info'), warn: note('warn'), error: note('error') };
  return {
    folder,
    dataDir,
    logged,
    log,
    start: async () => {
      const server = await startEmbeddedPostgres({ dataDir, log });
      onTestFinished(server.stop);
      return server;
    },
    spawnOwner: () => spawnOwner(dataDir),
    unfinished: async () => {
      const names = await readdir(dataDir).catch(() => []);
      return names.filter((name) => name.startsWith('data.making-'));
    },
  };
}

function spawnOwner(dataDir: string): ChildProcess {
  const script = fileURLToPath(new URL('embedded-owner.ts', import.meta.url));
  const owner = spawn(process.execPath, ['--import', 'tsx', script, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => killProcess(owner));
  return owner;
}

/** What an owner says when it has started its server, or could not. */
export async function firstLine(owner: ChildProcess): Promise<unknown> {
  if (owner.stdout === null) throw new Error('the owner has no output');
  const [line] = (await once(createInterface(owner.stdout), 'line')) as [string];
  return JSON.parse(line);
}

/** The server that an owner has started. */
export async function ownedPostgres(owner: ChildProcess): Promise<{ url: string; pid: number }> {
  const said = await firstLine(owner);
  expect(said).toMatchObject({ url: expect.any(String), pid: expect.any(Number) });
  return said as { url: string; pid: number };
}

/** The process that waits for the owner's end. */
export async function guardOf(owner: ChildProcess): Promise<number> {
  for (const pid of await childrenOf(pidOf(owner))) {
    if ((await processCommand(pid))?.includes('tidemark-postgres-guard')) return pid;
  }
  throw new Error('the owner has no guard');
}

/** The id of a process that was started. */
export function pidOf({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error('the process could not be started');
  return pid;
}

/** Kills a child process, if it still runs. */
export async function killProcess({ pid }: ChildProcess): Promise<void> {
  if (pid !== undefined) await killAll([pid]);
}

/** Runs one query on a connection of its own. */
export async function query<T>(url: string, work: (sql: postgres.Sql) => Promise<T[]>): Promise<T[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return [...(await work(sql))];
  } finally {
    await sql.end();
  }
}

/** Commits a thousand rows. */
export async function writeRows(url: string): Promise<void> {
  await query(url, (sql) => sql`create table kept as select generate_series(1, 1000) as n`);
}

/** How many of them are there. */
export async function countRows(url: string): Promise<unknown> {
  const [row] = await query(url, (sql) => sql`select count(*)::integer as n from kept`);
  return row?.['n'];
}
