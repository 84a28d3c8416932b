import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { createKey, type Role } from '../http/authenticate-key.ts';
import type { Log } from '../log.ts';
import { connect, createQuery } from '../store/database.ts';
import { startEmbeddedPostgres } from '../store/embedded.ts';
import { failureOf } from '../store/failure.ts';
import { createKeys } from '../store/keys.ts';
import { prepareDatabase, type PrepareOptions, whenReachable } from '../store/prepare.ts';

export interface RunParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

/** The database of a run, and what ends it if it is ours. */
export interface RunDatabase {
  readonly url: string;
  /** Where the data is, for the operator. */
  readonly data: string;
  readonly stop: () => Promise<void>;
}

/** Keys that were made just now; undefined: Postgres is away, and they will be made when it comes. */
export type MadeKeys = ReadonlyMap<Role, string>;

const deadlineMs = 60_000;
/** With a spool the collector does not need it to begin. */
const spoolDeadlineMs = 2_000;
const connectionCloseMs = 1_000;

/** The database that is configured, or an embedded one, with room for the connections of all workers. */
export async function findDatabase({ config, log }: RunParts, stop: AbortSignal): Promise<RunDatabase> {
  if (config.databaseUrl !== undefined) {
    const { databaseUrl: url } = config;
    return { url, data: withoutPassword(url), stop: async () => undefined };
  }
  const dataDir = join(config.dataDirectory, 'postgres');
  const settings = { max_connections: String(connectionsFor(config)) };
  const embedded = await startEmbeddedPostgres({ dataDir, log, signal: stop, settings });
  return { url: embedded.url, data: embedded.dataDir, stop: () => embedded.stop() };
}

/** Connections of a process beside those that are configured, and of all that is not a worker: commands, psql, backups. */
const otherConnections = 9;
const spareConnections = 30;

function connectionsFor({ workers, writeConnections, readConnections }: Config): number {
  return Math.max(100, workers * (writeConnections + readConnections + otherConnections) + spareConnections);
}

/** How long a run waits for its database. */
export function databasePatience({ config, clock, log }: RunParts, stop: AbortSignal): PrepareOptions {
  return {
    ...{ clock, log, signal: stop },
    deadlineMs: config.spoolDirectory === undefined ? deadlineMs : spoolDeadlineMs,
  };
}

/**
 * Migrates and checks the database, and makes keys on the first start. Undefined: with a spool a start does not wait for Postgres, and
 * `prepareLater` is to be called.
 */
export async function prepare(
  parts: RunParts,
  url: string,
  stop: AbortSignal,
): Promise<MadeKeys | undefined> {
  try {
    return await whenReachable(() => prepareOnce(parts, url), databasePatience(parts, stop));
  } catch (error) {
    if (parts.config.spoolDirectory === undefined || failureOf(error) !== 'unavailable') throw error;
    return undefined;
  }
}

/** As soon as Postgres comes. */
export async function prepareLater(parts: RunParts, url: string, stop: AbortSignal): Promise<MadeKeys> {
  const patience = { ...databasePatience(parts, stop), deadlineMs: Infinity };
  return await whenReachable(() => prepareOnce(parts, url), patience);
}

async function prepareOnce({ config, clock }: RunParts, url: string): Promise<MadeKeys> {
  await prepareDatabase(url);
  const sql = connect(url, 'tidemark keys', 1, {});
  try {
    return await makeFirstKeys(config, createKeys({ query: createQuery(sql) }), clock);
  } finally {
    await sql.end({ timeout: connectionCloseMs / 1_000 });
  }
}

/** On a database without keys, one of each role that the environment does not fix. */
async function makeFirstKeys(
  config: Config,
  stored: Pick<ReturnType<typeof createKeys>, 'addFirst'>,
  clock: Clock,
): Promise<MadeKeys> {
  const fixed = { write: config.writeKey, read: config.readKey, admin: config.adminKey };
  const roles = (['write', 'read', 'admin'] as const).filter((role) => fixed[role] === undefined);
  const keys = roles.map((role) => ({ role, ...createKey(role, clock.randomBytes) }));
  if (keys.length === 0) return new Map();
  const added = await stored.addFirst(keys.map(({ role, hash }) => ({ role, hash })));
  return new Map(added ? keys.map(({ role, key }) => [role, key]) : []);
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  shown.username = '';
  shown.password = '';
  return shown.href;
}
