import type { SpoolFolder } from './spool-folder.ts';

/**
 * A little room on the disk that is kept for a start: a collector that found its disk full, and was then killed, needs some to begin, or it
 * could never move what fills the disk.
 */
export async function withReserve<T>(folder: SpoolFolder, begin: () => Promise<T>): Promise<T> {
  const begun = await begin().catch(async (error: unknown) => {
    await folder.remove(name).catch(() => undefined);
    // Either there was a reserve, or it fails again.
    return begin().catch(() => {
      throw error;
    });
  });
  await keepReserve(folder);
  return begun;
}

const name = 'reserve';
const bytes = 65_536;

/** Where there is no room for it now there may be at the next start. */
async function keepReserve(folder: SpoolFolder): Promise<void> {
  try {
    const file = await folder.open(name);
    try {
      if ((await file.size()) >= bytes) return;
      await file.write(Buffer.alloc(bytes, 'reserve '), 0);
      await file.sync();
    } catch {
      await folder.remove(name);
    } finally {
      await file.close();
    }
  } catch {
    // A disk this full, or this broken, will say so when something is written.
  }
}
