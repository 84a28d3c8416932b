// The folder of an embedded Postgres:
//   data/             what initdb made; only ever complete, because it is made under another name and then renamed
//   data.making-*/    a making that was cut short; removed by the next start
//   password          of the database user, 0600; written before `data`, so that there is no data without it

import { randomBytes } from 'node:crypto';
import {
  lchown,
  lstat,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import type { PostgresBinaries } from './embedded-binaries.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { type Launcher, runProgram, type UserIds } from './embedded-launch.ts';

/** The database of an embedded Postgres, and the user that owns everything in it. */
export const embeddedDatabase = 'tidemark';
export const embeddedUser = 'tidemark';

/** How a database of it is reached while it runs. */
export function embeddedUrl(port: number, password: string, database = embeddedDatabase): string {
  return `postgres://${embeddedUser}:${password}@127.0.0.1:${port}/${database}`;
}

/** Where Postgres itself keeps its files inside our folder. */
export function clusterDirIn(dataDir: string): string {
  return join(dataDir, 'data');
}

/**
 * Makes the database files on the first start, checks them on later ones, and gives the password.
 *
 * Throws `data_dir_unusable`, `data_version_mismatch`, `password_missing`, `start_failed`.
 */
export async function prepareCluster(
  dataDir: string,
  binaries: PostgresBinaries,
  launcher: Launcher,
  signal?: AbortSignal,
): Promise<{ password: string; made: boolean }> {
  await removeUnfinished(dataDir);
  const clusterDir = clusterDirIn(dataDir);
  const passwordFile = passwordFileIn(dataDir);
  const made = !(await exists(clusterDir));
  const password = await readPassword(dataDir);
  if (made) {
    const chosen = password ?? (await makePassword(dataDir, passwordFile));
    await makeCluster(dataDir, chosen, binaries, launcher, signal);
    return { password: chosen, made };
  }
  if (password === undefined) {
    throw new EmbeddedPostgresError(
      'password_missing',
      `${clusterDir} holds a database but ${passwordFile}, which holds its password, is gone; put it back`,
    );
  }
  await checkVersion(clusterDir, binaries, launcher, signal);
  if (launcher.owner !== undefined && (await stat(clusterDir)).uid === 0)
    await giveTo(clusterDir, launcher.owner);
  return { password, made };
}

async function removeUnfinished(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir)) {
    if (!name.startsWith('data.making-')) continue;
    // An initdb that outlived its collector may still write there; it ends by itself, or fails for what is gone.
    await rm(join(dataDir, name), { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

async function makeCluster(
  dataDir: string,
  password: string,
  binaries: PostgresBinaries,
  launcher: Launcher,
  signal?: AbortSignal,
): Promise<void> {
  const making = await mkdtemp(join(dataDir, 'data.making-'));
  const passwordFile = join(making, 'password');
  const cluster = join(making, 'data');
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (launcher.owner !== undefined) await giveTo(making, launcher.owner);
  const result = await runProgram(
    launcher,
    binaries.initdb,
    [
      `--pgdata=${cluster}`,
      `--username=${embeddedUser}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--data-checksums',
    ],
    signal,
  );
  if (result.code !== 0) {
    await rm(making, { recursive: true, force: true });
    throw new EmbeddedPostgresError('start_failed', `initdb failed in ${dataDir}: ${result.output.trim()}`);
  }
  await rename(cluster, clusterDirIn(dataDir));
  await syncFolder(dataDir);
  await rm(making, { recursive: true, force: true });
}

async function makePassword(dataDir: string, path: string): Promise<string> {
  const password = randomBytes(24).toString('base64url');
  const unfinished = `${path}.making`;
  const file = await open(unfinished, 'w', 0o600);
  try {
    await file.writeFile(`${password}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, path);
  await syncFolder(dataDir);
  return password;
}

function passwordFileIn(dataDir: string): string {
  return join(dataDir, 'password');
}

/** The password of the database user; undefined: there is none yet. Throws `data_dir_unusable`. */
export async function readPassword(dataDir: string): Promise<string | undefined> {
  const path = passwordFileIn(dataDir);
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new EmbeddedPostgresError('data_dir_unusable', `${path} cannot be read by this user`, {
      cause: error,
    });
  }
}

async function checkVersion(
  clusterDir: string,
  binaries: PostgresBinaries,
  launcher: Launcher,
  signal?: AbortSignal,
): Promise<void> {
  const made = await readFile(join(clusterDir, 'PG_VERSION'), 'utf8').catch((cause: unknown) => {
    throw new EmbeddedPostgresError(
      'data_dir_unusable',
      `${clusterDir} holds no database that this user can read`,
      {
        cause,
      },
    );
  });
  const { output } = await runProgram(launcher, binaries.postgres, ['--version'], signal);
  const installed = /\) (\d+)/.exec(output)?.[1];
  if (installed === made.trim()) return;
  throw new EmbeddedPostgresError(
    'data_version_mismatch',
    `${clusterDir} was made by Postgres ${made.trim()}, installed is ${installed ?? 'unknown'}; install the version before, or dump and restore`,
  );
}

// A rename survives a power cut only once its folder has been synced. Windows has no such call.
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function giveTo(path: string, owner: UserIds): Promise<void> {
  await lchown(path, owner.uid, owner.gid);
  if (!(await lstat(path)).isDirectory()) return;
  for (const name of await readdir(path)) await giveTo(join(path, name), owner);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
