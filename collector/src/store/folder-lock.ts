// One collector at a time may use a folder: the data of an embedded Postgres, a spool. The kernel would keep such a lock best, but Node has no lock on files, so
// the lock is a file that names its holder.
//
// - Taking: the files are numbered, `collector.lock.1`, `.2`, …, and the highest number counts. Whoever finds its holder
//   gone makes the next number, which only one process can do (`wx`), looks again whether a higher one has appeared, and
//   yields if so. The highest file is never removed, on release it is only marked, so numbers never come back.
//   Removing a dead holder's file in order to make it anew would let two processes that both saw it dead both win: the
//   second removes what the first has just made.
// - Dead or alive: a holder is its process id and the time when that process started, so that a recycled id is not taken
//   for it. From another container, machine or boot a process id says nothing; so every holder also touches its file
//   each second, and a holder from elsewhere counts as alive if its file is touched while we watch.

import { randomUUID } from 'node:crypto';
import { readdir, readFile, readlink, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processStart } from './embedded-process.ts';

/** The right to use a folder, or who has it. */
export type FolderLock =
  | { readonly ok: true; readonly release: () => Promise<void> }
  /** As in "another collector, process 17". */
  | { readonly ok: false; readonly holder: string };

interface Holder {
  readonly nonce: string;
  readonly pid: number;
  readonly started: string | undefined;
  /** Where the process id means something. */
  readonly place: string;
  readonly released: boolean;
}

const prefix = 'collector.lock.';
const touchEveryMs = 1_000;
const watchMs = 5_000;

/** Takes the lock of a folder, if nobody has it. */
export async function lockFolder(folder: string, signal?: AbortSignal): Promise<FolderLock> {
  const me: Holder = {
    nonce: randomUUID(),
    pid: process.pid,
    started: await processStart(process.pid),
    place: await thisPlace(),
    released: false,
  };
  for (;;) {
    signal?.throwIfAborted();
    const highest = Math.max(0, ...(await numbersIn(folder)));
    const holder = highest > 0 ? await livingHolder(join(folder, prefix + highest), me, signal) : undefined;
    if (holder !== undefined) return { ok: false, holder };
    const mine = join(folder, prefix + (highest + 1));
    if (!(await create(mine, me))) continue;
    const numbers = await numbersIn(folder);
    if (numbers.some((number) => number > highest + 1)) {
      await rm(mine, { force: true });
      continue;
    }
    for (const number of numbers) {
      if (number <= highest) await rm(join(folder, prefix + number), { force: true });
    }
    return hold(mine, me);
  }
}

function hold(path: string, me: Holder): FolderLock {
  let touches = 0;
  const touch = () => {
    touches += 1;
    // Not a real time: all that matters is that it changes. A file that somebody removed is none of our business.
    utimes(path, touches, touches).catch(() => {});
  };
  touch();
  const timer = setInterval(touch, touchEveryMs).unref();
  return {
    ok: true,
    release: async () => {
      clearInterval(timer);
      if ((await readHolder(path))?.nonce !== me.nonce) return;
      const marked = `${path}.released`;
      await writeFile(marked, JSON.stringify({ ...me, released: true }));
      await rename(marked, path);
    },
  };
}

/** Who holds this file, in words; undefined: that one has released it, or is gone. */
async function livingHolder(path: string, me: Holder, signal?: AbortSignal): Promise<string | undefined> {
  const holder = await readHolder(path);
  if (holder?.released) return undefined;
  // An unreadable file is being written, or was cut short by a crash: whether it is touched tells these apart as well.
  const startIsComparable = holder?.place === me.place && holder.started !== undefined;
  const alive = startIsComparable
    ? (await processStart(holder.pid)) === holder.started
    : await isTouched(path, signal);
  if (!alive) return undefined;
  const who = holder === undefined ? '' : `, process ${holder.pid}`;
  const where = holder === undefined || holder.place === me.place ? '' : ` on ${holder.place}`;
  return `another collector${who}${where}`;
}

async function isTouched(path: string, signal?: AbortSignal): Promise<boolean> {
  const before = await touchedAt(path);
  const deadline = AbortSignal.timeout(watchMs);
  while (!deadline.aborted) {
    await sleep(touchEveryMs / 4, undefined, signal && { signal });
    const now = await touchedAt(path);
    if (now === undefined) return false;
    if (now !== before) return true;
  }
  return false;
}

async function touchedAt(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => found.mtimeMs,
    () => undefined,
  );
}

async function create(path: string, me: Holder): Promise<boolean> {
  try {
    await writeFile(path, JSON.stringify(me), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    // It may be there, and say nothing.
    await rm(path, { force: true });
    throw error;
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const found = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    const { nonce, pid, started, place, released } = found;
    if (typeof nonce !== 'string' || typeof pid !== 'number' || typeof place !== 'string') return undefined;
    return {
      nonce,
      pid,
      started: typeof started === 'string' ? started : undefined,
      place,
      released: released === true,
    };
  } catch {
    return undefined;
  }
}

async function numbersIn(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  return names
    .filter((name) => /^collector\.lock\.\d+$/.test(name))
    .map((name) => Number(name.slice(prefix.length)));
}

async function thisPlace(): Promise<string> {
  if (process.platform !== 'linux') return hostname();
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  return `${hostname()} ${namespace} ${boot.trim()}`;
}
