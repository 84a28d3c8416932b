import { access, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEmbeddedPostgres } from './embedded.ts';
import { clusterDirIn, embeddedUrl, readPassword } from './embedded-cluster.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import type { EmbeddedLog } from './embedded-log.ts';

/** The embedded Postgres of a data folder, for a short visit. */
export interface JoinedPostgres {
  readonly url: string;
  /** Leaves it; stops it if it ran for this visit alone. */
  readonly leave: () => Promise<void>;
}

const attempts = 20;
const pauseMs = 500;

/**
 * The Postgres that the collector of this folder runs; where none runs, one that is started for the visit. A collector that is just starting or
 * stopping is waited for.
 *
 * Throws `EmbeddedPostgresError`: `data_missing` where no collector has ever kept data, and what a start throws.
 */
export async function joinEmbeddedPostgres(given: {
  readonly dataDir: string;
  readonly log: EmbeddedLog;
  readonly signal: AbortSignal;
}): Promise<JoinedPostgres> {
  const dataDir = resolve(given.dataDir);
  await expectData(dataDir);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const started = await startEmbeddedPostgres({ ...given, dataDir });
      return { url: started.url, leave: started.stop };
    } catch (error) {
      if (!(error instanceof EmbeddedPostgresError) || error.code !== 'data_dir_in_use') throw error;
      const url = await runningUrl(dataDir);
      if (url !== undefined) return { url, leave: () => Promise.resolve() };
      if (attempt === attempts) throw error;
      await sleep(pauseMs, undefined, { signal: given.signal });
    }
  }
}

async function expectData(dataDir: string): Promise<void> {
  try {
    await access(clusterDirIn(dataDir));
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'data_missing',
      `${dataDir} holds no data: start the collector once, or say where its data is with TIDEMARK_DATA_DIR or DATABASE_URL`,
      { cause },
    );
  }
}

/** Undefined while it is not ready. A postmaster writes its port and state into the folder. */
async function runningUrl(dataDir: string): Promise<string | undefined> {
  const file = join(clusterDirIn(dataDir), 'postmaster.pid');
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n');
  const port = Number(lines[portLine]);
  const password = await readPassword(dataDir);
  if (password === undefined || lines[stateLine]?.trim() !== 'ready' || !(port > 0)) return undefined;
  return embeddedUrl(port, password);
}

/** Counted from 0. */
const portLine = 3;
const stateLine = 7;
