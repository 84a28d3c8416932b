import type { KeptEvent } from '@tidemark/core';
import { createDatabase } from './database.ts';
import { randomOfCrypto } from './platform.ts';
import { type DeviceStore, parseRows, type Row, toKept, toRow } from './store.ts';

/**
 * Events of web pages and workers: in IndexedDB, and in localStorage where that fails and where it must happen before the call returns
 * (the page is about to go). An event may be in both; localStorage is the newer one.
 *
 * Each page has a namespace that it holds by a Web Lock. Whoever else gets the lock knows that the page is gone, moves its events into its
 * own namespace and sends them. Without Web Locks (pages over plain http) every new page takes what it finds: events may be sent twice, and are
 * stored once.
 */
export function createPageStore(name: string): DeviceStore {
  const prefix = `${name} `;
  const own = randomOfCrypto().toString(36).slice(2);
  const ownItem = prefix + own;
  const database = createDatabase(name);
  const storage = openStorage();
  /** What our item in localStorage holds. */
  let local = new Map<number, Row>();
  const watched = new Set([own]);
  let held = false;
  let release = (): void => {};
  let announced = false;
  /** Finds what other pages have left; one that comes back has heard of none of it. */
  let look = (): void => {};

  return {
    async save(events) {
      // Other tabs hear of it and wait for our lock: should this page crash, they have its events at once.
      announced ||= setItem(ownItem, '[]') && write();
      const kept = await database.put(own, events.map(toRow)).catch(() => undefined);
      if (kept === undefined) return saveNow(events);
      forget(events.slice(0, kept).map(({ sequence }) => sequence));
      return kept;
    },
    saveNow,
    remove(sequences) {
      forget(sequences);
      database.remove(own, sequences).catch(() => {});
    },
    start(adopt) {
      const watch = (namespace: string): void => {
        if (watched.has(namespace)) return;
        watched.add(namespace);
        void withLock(prefix + namespace, () => take(namespace, adopt)).then(() => watched.delete(namespace));
      };
      const watchItem = (key: string): void => watch(key.slice(prefix.length));
      look = () => {
        items().forEach(watchItem);
        database.namespaces().then(
          (found) => found.forEach(watch),
          () => {},
        );
      };
      resume();
      if (navigator.locks)
        globalThis.addEventListener('storage', ({ key, newValue }) => {
          if (newValue && key?.startsWith(prefix)) watchItem(key);
        });
    },
    clear() {
      local.clear();
      for (const key of [name, ...items()]) delete storage[key];
      database.clear().catch(() => {});
    },
    release() {
      held = false;
      release();
    },
    resume,
    note: {
      read: () => storage[name],
      write: (text) => setItem(name, text),
    },
  };

  function saveNow(events: readonly KeptEvent[]): number {
    const before = new Map(local);
    let room = items().reduce((room, key) => room - (storage[key]?.length ?? 0), charactersMax);
    const full = events.findIndex((event) => {
      const row = toRow(event);
      room -= JSON.stringify(row).length;
      if (room >= 0) local.set(row[0], row);
      return room < 0;
    });
    if (write()) return full < 0 ? events.length : full;
    local = before;
    return 0;
  }

  function forget(sequences: readonly number[]): void {
    // Every one of them, not only the first.
    if (sequences.filter((sequence) => local.delete(sequence)).length > 0) write();
  }

  function write(): boolean {
    return local.size > 0 ? setItem(ownItem, JSON.stringify([...local.values()])) : delete storage[ownItem];
  }

  /** false: there is no room, or no storage. */
  function setItem(key: string, value: string): boolean {
    try {
      storage[key] = value;
    } catch {
      // It is looked at next.
    }
    return storage[key] === value;
  }

  /** What pages have in localStorage. */
  function items(): string[] {
    return Object.keys(storage).filter((key) => key.startsWith(prefix));
  }

  async function take(
    namespace: string,
    adopt: (events: readonly KeptEvent[]) => readonly KeptEvent[],
  ): Promise<void> {
    const item = prefix + namespace;
    const rows = await database.read(namespace).catch(() => []);
    const events = toKept([...rows, ...parseRows(storage[item])]);
    const taken = adopt(events);
    const last = events[taken.length - 1];
    // The queue is full: they wait for the next page.
    if (!last) return;
    const moved = await database.move(namespace, last.sequence, own, taken.map(toRow)).then(
      () => true,
      () => saveNow(taken) === taken.length,
    );
    if (moved && taken.length === events.length) delete storage[item];
  }

  function resume(): void {
    // To let go for a moment would be to give away: others wait for it.
    if (!held) void withLock(ownItem, () => new Promise<void>((resolve) => (release = resolve)));
    held = true;
    look();
  }
}

/** Characters in localStorage of all tabs together: less than a third of what a site may have. */
const charactersMax = 1_500_000;

async function withLock(name: string, run: () => Promise<void>): Promise<void> {
  try {
    await (navigator.locks?.request(name, run) ?? run());
  } catch {
    // The page is going, or may not have locks: what is stored waits for the next one.
  }
}

/** localStorage as an object; one that takes nothing where there is none. */
function openStorage(): { [key: string]: string | undefined } {
  try {
    return globalThis.localStorage ?? nowhere;
  } catch {
    return nowhere;
  }
}

const nowhere = Object.freeze({});
