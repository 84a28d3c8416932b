// A Postgres of a fault test's own, which the test may crash. Unlike the collector's embedded one it is not started again
// by itself, and every step is the test's to take.

import { randomInt } from 'node:crypto';
import { chown, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findPostgresBinaries, type PostgresBinaries } from '../../collector/src/store/embedded-binaries.ts';
import { clusterDirIn, embeddedUser, prepareCluster } from '../../collector/src/store/embedded-cluster.ts';
import {
  type Postmaster,
  type PostmasterOptions,
  startPostmaster,
} from '../../collector/src/store/embedded-postmaster.ts';
import { isFreePort } from '../../collector/src/store/embedded-port.ts';
import { type Launcher, runProgram } from '../../collector/src/store/embedded-launch.ts';
import {
  embeddedSettings,
  type ServerSettings,
  walCompression,
} from '../../collector/src/store/embedded-settings.ts';
import { chooseLauncher } from '../../collector/src/store/embedded-user.ts';
import { descendantsOf, killAll } from './processes.ts';
import { quietLog } from './quiet-log.ts';
import { makeEnterableFolder } from './enterable-folder.ts';
import { findSystemPostgres } from './system-postgres.ts';

/** A Postgres that belongs to one test. */
export interface PrivatePostgres {
  /** Connection string of the database `postgres`; the same for the whole life of this server, restarts included. */
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly clusterDir: string;
  /** Which Postgres this is, for example `embedded 18.4`. */
  readonly program: string;
  /** Process id of the present postmaster. */
  readonly pid: number;
  /** Kills the postmaster and all its children at once; comes back when none of them is left. */
  readonly kill: () => Promise<void>;
  /** Starts the server again on the same port, after a crash with recovery; stops it first if it runs. */
  readonly restart: () => Promise<void>;
  /** Stops the server, if it runs, and removes its data. */
  readonly stop: () => Promise<void>;
}

/** Which Postgres to run, and with which settings on top of the collector's own. */
export interface PrivatePostgresOptions {
  /** `system` takes the newest one installed on this machine; throws where there is none. */
  readonly server?: 'embedded' | 'system';
  readonly settings?: ServerSettings;
  /** A copy of this running server instead of a new one, made with pg_basebackup: a standby of it, or a backup that was restored. */
  readonly copyOf?: { readonly server: PrivatePostgres; readonly as: 'standby' | 'backup' };
}

// Recovery may have much to do.
const restartMs = 30_000;

/** Makes and starts a Postgres in a temporary folder. */
export async function startPrivatePostgres({
  server = 'embedded',
  settings,
  copyOf,
}: PrivatePostgresOptions = {}): Promise<PrivatePostgres> {
  const binaries = await findServer(server);
  const dataDir = await makeEnterableFolder('tidemark-private-');
  let postmaster: Postmaster | undefined;
  try {
    const clusterDir = clusterDirIn(dataDir);
    const launcher = await chooseLauncher(binaries, dataDir, clusterDir);
    const version = await runProgram(launcher, binaries.postgres, ['--version']);
    const { password } =
      copyOf === undefined
        ? await prepareCluster(dataDir, binaries, launcher)
        : await copyCluster(copyOf, clusterDir, binaries, launcher);
    const urlOn = (port: number) => `postgres://${embeddedUser}:${password}@127.0.0.1:${port}/postgres`;
    const compression = await walCompression(binaries, launcher, clusterDir);
    const options: PostmasterOptions = {
      binaries,
      launcher,
      clusterDir,
      urlOn,
      log: quietLog,
      settings: { ...embeddedSettings, ...compression, ...settings },
    };
    const port = await portToKeep();
    postmaster = await startPostmaster(options, port);
    let present = postmaster;

    // When the test run ends before the test does: an immediate shutdown, as nobody is left to wait for another.
    const endWithUs = () => {
      try {
        process.kill(present.pid, 'SIGQUIT');
      } catch {
        // It does not run just now.
      }
    };
    process.on('exit', endWithUs);

    const kill = async () => {
      await killAll([present.pid, ...(await descendantsOf(present.pid))]);
      await present.ended;
    };

    return {
      url: urlOn(port),
      port,
      dataDir,
      clusterDir,
      program: `${server} ${/[\d.]+/.exec(version.output)?.[0] ?? '?'}`,
      get pid() {
        return present.pid;
      },
      kill,
      restart: async () => {
        await present.stop();
        present = await startAgain(options, port);
      },
      stop: async () => {
        process.off('exit', endWithUs);
        await present.stop();
        await rm(dataDir, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await postmaster?.stop();
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  }
}

/** What the server has committed by now, with the write-ahead log it takes to start from it. */
async function copyCluster(
  { server, as }: NonNullable<PrivatePostgresOptions['copyOf']>,
  clusterDir: string,
  binaries: PostgresBinaries,
  launcher: Launcher,
): Promise<{ password: string }> {
  const { owner } = launcher;
  await mkdir(clusterDir, { mode: 0o700 });
  if (owner !== undefined) await chown(clusterDir, owner.uid, owner.gid);
  const { code, output } = await runProgram(launcher, join(dirname(binaries.postgres), 'pg_basebackup'), [
    `--dbname=${server.url}`,
    `--pgdata=${clusterDir}`,
    '--wal-method=stream',
    '--checkpoint=fast',
    ...(as === 'standby' ? ['--write-recovery-conf'] : []),
  ]);
  if (code !== 0) throw new Error(`pg_basebackup ended with ${code}: ${output}`);
  return { password: new URL(server.url).password };
}

async function findServer(server: 'embedded' | 'system'): Promise<PostgresBinaries> {
  if (server === 'embedded') return findPostgresBinaries();
  const found = await findSystemPostgres();
  if (found === undefined) throw new Error('no Postgres from version 15 on is installed on this machine');
  return found.binaries;
}

/** Below those that systems give to outgoing connections, of which one could sit on it while the server is down. */
async function portToKeep(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    if (await isFreePort(port)) return port;
  }
}

// The port is ours by custom only: somebody may sit on it for a moment.
async function startAgain(options: PostmasterOptions, port: number): Promise<Postmaster> {
  const deadline = AbortSignal.timeout(restartMs);
  for (;;) {
    try {
      return await startPostmaster(options, port);
    } catch (error) {
      if (deadline.aborted) throw error;
      await sleep(100);
    }
  }
}
