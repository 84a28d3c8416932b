import { EmbeddedPostgresError } from './embedded-error.ts';
import { lockFolder } from './folder-lock.ts';

/** The right to use a data folder. */
export interface DataDirLock {
  readonly release: () => Promise<void>;
}

/** Takes the lock of a data folder. Throws `data_dir_in_use` with the holder's process id. */
export async function lockDataDir(dataDir: string, signal?: AbortSignal): Promise<DataDirLock> {
  const lock = await lockFolder(dataDir, signal);
  if (lock.ok) return lock;
  throw new EmbeddedPostgresError(
    'data_dir_in_use',
    `${dataDir} is in use by ${lock.holder}; stop it, or give this one its own TIDEMARK_DATA_DIR, or let both share one DATABASE_URL`,
  );
}
