import type { KeptEvent } from '@tidemark/core';
import { createDatabase } from './database.ts';
import { randomOfCrypto } from './platform.ts';
import { type Adopt, type DeviceStore, inOrder, parseEvents, untilFull } from './store.ts';

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
  const own = randomOfCrypto().toString(36).slice(2);
  const ownItem = prefix + own;
  const database = createDatabase(name);
  const storage = openStorage();
  /** What our item in localStorage holds. Of two copies of an event the later counts. */
  let local: readonly KeptEvent[] = [];
  const watched = new Set([own]);
  let letGo: (() => void) | undefined;
  let announced = false;

  return {
    async save(events) {
      // Other tabs hear of it and wait for our lock: should this page crash, they have its events at once.
      announced ||= setItem(ownItem, '[]') && write(local);
      const kept = await database.put(own, events).catch(() => undefined);
      if (kept === undefined) return saveNow(events);
      forget(events.slice(0, kept).map(([sequence]) => sequence));
      return kept;
    },
    saveNow,
    remove(sequences) {
      forget(sequences);
      database.remove(own, sequences).catch(() => {});
    },
    clear() {
      local = [];
      for (const key of [name, ...items()]) delete storage[key];
      database.clear().catch(() => {});
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
      items().forEach(watchItem);
      database.namespaces().then(
        (found) => found.forEach(watch),
        () => {},
      );
    },
    readNote: () => storage[name],
    writeNote: (text) => setItem(name, text),
  };

  function saveNow(events: readonly KeptEvent[]): number {
    let room = items().reduce((room, key) => room - (storage[key]?.length ?? 0), charactersMax);
    const kept = untilFull(events, (event) => (room -= JSON.stringify(event).length) < 0);
    return write([...local, ...kept]) ? kept.length : 0;
  }

  function forget(sequences: readonly number[]): void {
    const left = local.filter(([sequence]) => !sequences.includes(sequence));
    if (left.length < local.length) write(left);
  }

  function write(events: readonly KeptEvent[]): boolean {
    const written = events.length > 0 ? setItem(ownItem, JSON.stringify(events)) : delete storage[ownItem];
    if (written) local = events;
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

  function hear({ key, newValue }: StorageEvent): void {
    if (newValue && key?.startsWith(prefix)) watchItem(key);
  }

  function watchItem(key: string): void {
    watch(key.slice(prefix.length));
  }

  function watch(namespace: string): void {
    if (watched.has(namespace)) return;
    watched.add(namespace);
    void withLock(prefix + namespace, () => take(namespace)).then(() => watched.delete(namespace));
  }

  async function take(namespace: string): Promise<void> {
    const item = prefix + namespace;
    const stored = await database.read(namespace).catch(() => []);
    const events = inOrder([...stored, ...parseEvents(storage[item])]);
    const taken = adopt(events);
    const last = events[taken.length - 1]?.[0];
    // The queue is full: they wait for the next page.
    if (last === undefined) return;
    const moved = await database.move(namespace, last, own, taken).then(
      () => true,
      () => saveNow(taken) === taken.length,
    );
    if (moved && taken.length === events.length) delete storage[item];
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
