import { copyFile, mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { keptFileName } from '../store/kept.ts';

/**
 * Which folders below `TIDEMARK_SPOOL_DIR` are whose. A lone process has the folder itself, a worker one below it with its number. Another number of
 * workers leaves some behind, with events in them: the first worker, or the lone process, moves what is in them to Postgres.
 */
export function workerSpool(root: string, number: number): string {
  return join(root, `worker-${number}`);
}

/** The folders with events in them that are nobody's when there are so many workers. */
export async function abandonedFolders(root: string, workers: number): Promise<readonly string[]> {
  const others =
    workers === 1 ? await workerFolders(root, 1) : [root, ...(await workerFolders(root, workers + 1))];
  const found: string[] = [];
  for (const folder of others) {
    const names = await namesIn(folder);
    if (names.some((name) => name.endsWith('.spool'))) found.push(folder);
  }
  return found;
}

/** A worker that is new takes over the newest copy of keys there is: it may have to begin while Postgres is away. */
export async function inheritKept(own: string): Promise<void> {
  await mkdir(own, { recursive: true, mode: 0o700 });
  if ((await namesIn(own)).includes(keptFileName)) return;
  const root = dirname(own);
  let newest: { readonly path: string; readonly writtenMs: number } | undefined;
  for (const folder of [root, ...(await workerFolders(root, 1))]) {
    const path = join(folder, keptFileName);
    const writtenMs = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => -1,
    );
    if (writtenMs > (newest?.writtenMs ?? -1)) newest = { path, writtenMs };
  }
  if (newest !== undefined) await copyFile(newest.path, join(own, keptFileName));
}

/** Those of workers from this number on. */
async function workerFolders(root: string, from: number): Promise<string[]> {
  return (await namesIn(root))
    .filter((name) => Number(/^worker-([1-9]\d{0,2})$/.exec(name)?.[1] ?? 0) >= from)
    .map((name) => join(root, name));
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  });
}
