import type { KeptEvent } from '@tidemark/core';
import { createDatabase } from './database.ts';
import { randomOfCrypto } from './platform.ts';
import { type Adopt, type DeviceStore, inOrder, parseEvents } from './store.ts';

/** Characters in localStorage of all tabs together: less than a third of what a site may have. */
const charactersMax = 1_500_000;

/**
 * Events of web pages and workers: in IndexedDB, and in localStorage where that fails and where it must happen before the call returns
 * (the page is about to go). An event may be in both; localStorage is the newer one.
 *
 * Each page has a namespace that it holds by a Web Lock. Whoever else gets the lock knows that the page is gone, moves its events into its
 * own namespace and sends them. Without Web Locks (pages over plain http) every new page takes what it finds: events may be sent twice, and are
 * stored once.
 */
export function createPageStore(name: string, adopt: Adopt): DeviceStore {
  const prefix = `${name} `;
  const own = String(randomOfCrypto());
  const ownItem = prefix + own;
  const database = createDatabase(name, own);
  /** localStorage; where there is none, what takes nothing. */
  let storage: { [key: string]: string | undefined } = Object.freeze({});
  try {
    storage = localStorage ?? storage;
  } catch {
    // Forbidden, or unknown to workers.
  }
  const watched = new Set([ownItem]);
  let letGo: (() => void) | undefined;

  return {
    async save(events) {
      const kept = await database.change(events);
      if (!kept) return saveNow(events);
      changeItem([], kept);
      return kept.length;
    },
    saveNow,
    remove(sequences) {
      changeItem([], sequences);
      void database.change([], sequences);
    },
    clear() {
      for (const key of [name, ...items()]) delete storage[key];
      void database.clear();
    },
    release() {
      letGo?.();
      letGo = undefined;
    },
    resume() {
      // To let go for a moment would be to give away: others wait for it.
      if (letGo) return;
      const held = new Promise<void>((resolve) => (letGo = resolve));
      void withLock(ownItem, () => held);
      // Without locks the other page may be alive: what it has just stored is its own.
      if (navigator.locks) addEventListener('storage', hear);
      items().forEach(watch);
      void database.keys().then((keys) => keys?.forEach(([namespace]) => watch(prefix + namespace)));
    },
    readNote: () => storage[name],
    writeNote: (text) => setItem(name, text),
  };

  function saveNow(events: readonly KeptEvent[]): number {
    const stored = items().map((key) => storage[key]);
    let room = charactersMax - stored.join().length;
    const kept = events.filter((event) => (room -= JSON.stringify(event).length) >= 0);
    return kept.length > 0 && changeItem(kept) ? kept.length : 0;
  }

  /** Events go from our item, and others come. Other tabs hear of it and wait for our lock: should this page crash, they have its events at once. */
  function changeItem(more: readonly KeptEvent[], gone: readonly number[] = []): boolean {
    const left = parseEvents(storage[ownItem]).filter(([sequence]) => !gone.includes(sequence));
    const events = [...left, ...more];
    const written = setItem(ownItem, JSON.stringify(events));
    if (events.length === 0) delete storage[ownItem];
    return written;
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

  function hear({ key }: StorageEvent): void {
    if (key?.startsWith(prefix)) watch(key);
  }

  function watch(item: string): void {
    if (watched.has(item)) return;
    watched.add(item);
    void withLock(item, () => take(item)).then(() => watched.delete(item));
  }

  async function take(item: string): Promise<void> {
    const namespace = item.slice(prefix.length);
    const stored = (await database.read(namespace)) ?? [];
    const text = storage[item];
    const events = inOrder([...stored, ...parseEvents(text)]);
    const taken = adopt(events);
    const gone = events.splice(0, taken.length).map(([sequence]) => sequence);
    const moved = (await database.change(taken, gone, namespace)) ?? saveNow(taken) === taken.length;
    // Where the queue is full the rest waits for the next page, and so does what a page that is going has added meanwhile.
    if (moved && events.length === 0 && storage[item] === text) delete storage[item];
  }
}

async function withLock(name: string, run: () => Promise<void>): Promise<void> {
  try {
    await (navigator.locks?.request(name, run) ?? run());
  } catch {
    // The page is going, or may not have locks: what is stored waits for the next one.
  }
}
