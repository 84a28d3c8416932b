// A real Postgres that the collector runs for itself when no DATABASE_URL names one.
//
// Order of a start: the lock of the folder (no other collector), the programs, the user to run as, the database files,
// the orphan of a crashed predecessor, the postmaster on a free port, the database. From then on it is kept running.
//
// These files deal with real processes, for which only real time passes: so they use Node's timers and no injected clock.

import { access, constants, mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { findPostgresBinaries } from './embedded-binaries.ts';
import { clusterDirIn, embeddedDatabase, embeddedUrl, prepareCluster } from './embedded-cluster.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { lockDataDir } from './embedded-lock.ts';
import type { EmbeddedLog } from './embedded-log.ts';
import { stopOrphan } from './embedded-orphan.ts';
import { type Postmaster, type PostmasterOptions, startPostmaster } from './embedded-postmaster.ts';
import { freePort, isFreePort } from './embedded-port.ts';
import { embeddedSettings, type ServerSettings, walCompression } from './embedded-settings.ts';
import { keepRunning } from './embedded-supervisor.ts';
import { chooseLauncher } from './embedded-user.ts';

/** What `startEmbeddedPostgres` needs. */
export interface EmbeddedPostgresOptions {
  /** Folder for the database, its password and its lock; made if it is not there. */
  readonly dataDir: string;
  readonly log: EmbeddedLog;
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal;
  /** Server settings on top of `embeddedSettings`. */
  readonly settings?: ServerSettings;
}

/** A running embedded Postgres. */
export interface EmbeddedPostgres {
  /** Connection string of the database `tidemark`, password included. */
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  /** Process id of the present postmaster; another one after it had to be started again. */
  readonly pid: number;
  /** Stops the server and gives the folder free; within 10 s, whatever happens. */
  readonly stop: () => Promise<void>;
}

const startAttemptsMax = 5;
const startPauseMs = 250;

/**
 * Starts a Postgres on 127.0.0.1 that keeps its data in `dataDir`, and keeps it running until `stop`.
 *
 * Throws `EmbeddedPostgresError`; its `code` says which of the steps failed.
 */
export async function startEmbeddedPostgres(given: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log, signal } = given;
  const dataDir = resolve(given.dataDir);
  const binaries = await findPostgresBinaries();
  await makeDataDir(dataDir);
  const lock = await lockDataDir(dataDir, signal);
  try {
    const clusterDir = clusterDirIn(dataDir);
    const launcher = await chooseLauncher(binaries, dataDir, clusterDir, signal);
    const { password, made } = await prepareCluster(dataDir, binaries, launcher, signal);
    if (made) log.info({ dataDir }, 'made a new embedded Postgres');
    const compression = await walCompression(binaries, launcher, clusterDir, signal);
    const adminUrlOn = (port: number) => embeddedUrl(port, password, 'postgres');
    const options: PostmasterOptions = {
      binaries,
      launcher,
      clusterDir,
      log,
      settings: { ...embeddedSettings, ...compression, ...given.settings },
      urlOn: adminUrlOn,
    };
    const crashed = await stopOrphan(options, signal);
    const { postmaster, port } = await startOnFreePort(options, crashed, signal);
    try {
      await createDatabase(adminUrlOn(port));
      signal?.throwIfAborted();
    } catch (error) {
      await postmaster.stop();
      throw error;
    }
    const running = keepRunning(postmaster, port, options);
    const url = embeddedUrl(port, password);
    const stop = async () => {
      try {
        await running.stop();
      } finally {
        await lock.release();
      }
    };
    let stopped: Promise<void> | undefined;
    return {
      url,
      port,
      dataDir,
      get pid() {
        return running.pid();
      },
      stop: () => (stopped ??= stop()),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

// Root's data folder stays enterable, since Postgres runs as somebody else; what is inside is closed by its own modes.
async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true, mode: process.geteuid?.() === 0 ? 0o755 : 0o700 });
    await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'data_dir_unusable',
      `${dataDir} cannot be made or written by this user (${(cause as NodeJS.ErrnoException).code}); give it to this user, or set TIDEMARK_DATA_DIR to a folder of its own`,
      { cause },
    );
  }
}

async function startOnFreePort(
  options: PostmasterOptions,
  crashed: boolean,
  signal?: AbortSignal,
): Promise<{ postmaster: Postmaster; port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    try {
      return { postmaster: await startPostmaster(options, port, signal), port };
    } catch (error) {
      signal?.throwIfAborted();
      // Between our choice and its bind anybody may have taken the port.
      const taken = !(await isFreePort(port));
      if (taken && attempt === startAttemptsMax) {
        throw new EmbeddedPostgresError('port_unavailable', `no port on 127.0.0.1 stays free, last ${port}`, {
          cause: error,
        });
      }
      // Backends of a postmaster that crashed hold the data until they have noticed.
      if ((!taken && !crashed) || attempt === startAttemptsMax) throw error;
      await sleep(attempt * startPauseMs, undefined, signal && { signal });
    }
  }
}

async function createDatabase(adminUrl: string): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, connect_timeout: 10 });
  try {
    const found = await sql`select 1 from pg_database where datname = ${embeddedDatabase}`;
    if (found.length === 0) await sql`create database ${sql(embeddedDatabase)}`;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
