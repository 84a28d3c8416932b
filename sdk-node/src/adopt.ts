import { readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeptEvent } from '@tidemark/core';
import { openSegment, readSegment } from './segment.ts';
import { heldName, isHeld } from './spool-lock.ts';
import type { Spool } from './spool.ts';

/**
 * Queues the first of these events as soon as there is room, and returns their new numbers: at least one, or none at all when the
 * client was closed.
 */
export type Take = (events: readonly KeptEvent[]) => Promise<readonly number[]>;

/**
 * Takes over what earlier runs left in the spool's folder. The files of each folder that nobody holds are moved into our own, which only
 * one of several can do; their events are queued again, and each file goes when its last event has met its end.
 */
export async function adoptFolders(spoolDir: string, spool: Spool, take: Take): Promise<void> {
  const moved: { readonly path: string; readonly at: number; readonly bytes: number }[] = [];
  for (const name of await readdir(spoolDir)) {
    const folder = join(spoolDir, name);
    if (folder === spool.folder || (await isHeld(folder))) continue;
    for (const file of await filesIn(folder)) {
      const path = join(spool.folder, file);
      const found = await rename(join(folder, file), path)
        .then(() => stat(path))
        .catch(() => undefined);
      if (found) moved.push({ path, at: found.mtimeMs, bytes: found.size });
    }
    await unlink(join(folder, heldName)).catch(() => {});
    // Not empty: somebody else is at it as well.
    await rmdir(folder).catch(() => {});
  }
  moved.sort((a, b) => a.at - b.at || (a.path < b.path ? -1 : 1));
  for (const { bytes } of moved) spool.reserve(bytes);
  for (const { path } of moved) await adoptFile(path, spool, take);
}

async function adoptFile(path: string, spool: Spool, take: Take): Promise<void> {
  const { events, size } = await readSegment(path);
  const link = spool.link(openSegment(path, size));
  for (let from = 0; from < events.length; ) {
    const rest = events.slice(from);
    const sequences = await take(rest);
    if (sequences.length === 0) return;
    link(new Map(sequences.map((sequence, index) => [sequence, rest[index]?.[0] ?? 0])), false);
    from += sequences.length;
  }
  spool.reserve(-size);
  link(new Map(), true);
}

async function filesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => name.endsWith('.ndjson')).sort();
}
