// What a collector that crashed may have left in its data folder: a postmaster that still runs, or only the file in which
// it wrote its process id. Called with the lock of the folder held, so neither belongs to a living collector.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { type PostmasterOptions, signalPostmaster } from './embedded-postmaster.ts';
import { processCommand } from './embedded-process.ts';

const fastShutdownMs = 30_000;
const immediateShutdownMs = 10_000;

/**
 * Stops a postmaster without an owner, in order if possible. Gives whether there was anything to clean up.
 *
 * Throws `data_dir_unusable` if it does not end.
 */
export async function stopOrphan(
  options: Pick<PostmasterOptions, 'binaries' | 'launcher' | 'clusterDir' | 'log'>,
  signal?: AbortSignal,
): Promise<boolean> {
  const { clusterDir, log } = options;
  const pidFile = join(clusterDir, 'postmaster.pid');
  const pid = Number.parseInt(await readFile(pidFile, 'utf8').catch(() => ''), 10);
  if (Number.isNaN(pid)) return false;
  if (await isPostmasterOf(pid, clusterDir)) {
    log.warn({ pid }, 'stopping the Postgres that a crashed collector left behind');
    await signalPostmaster(options, pid, 'INT');
    if (await endsWithin(pid, clusterDir, fastShutdownMs, signal)) return true;
    log.warn({ pid }, 'it does not stop in order, so it has to at once');
    await signalPostmaster(options, pid, 'QUIT');
    if (await endsWithin(pid, clusterDir, immediateShutdownMs, signal)) return true;
    throw new EmbeddedPostgresError(
      'data_dir_unusable',
      `the Postgres that still uses ${clusterDir}, process ${pid}, does not stop; end it and start again`,
    );
  }
  // Postgres would take any process of its own user with this recycled id for its predecessor, and refuse to start.
  // That backends without a postmaster still use the data it knows by other means (the shared memory of the folder).
  await rm(pidFile, { force: true });
  return true;
}

async function endsWithin(
  pid: number,
  clusterDir: string,
  deadlineMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = AbortSignal.timeout(deadlineMs);
  while (!deadline.aborted) {
    if (!(await isPostmasterOf(pid, clusterDir))) return true;
    await sleep(50, undefined, signal && { signal });
  }
  return false;
}

// A postmaster's command line stays as it was given, and begins with the folder.
async function isPostmasterOf(pid: number, clusterDir: string): Promise<boolean> {
  return (await processCommand(pid))?.includes(` -D ${clusterDir} `) ?? false;
}
