import { type AnyEvents, type EventShapes, type KeptEvent, utf8Bytes } from '@tidemark/core';
import { type Client, createClientIn } from './client.ts';
import type { ClientOptions } from './options.ts';
import { randomOfCrypto } from './platform.ts';
import { type Adopt, type DeviceStore, inOrder, parseEvents } from './store.ts';

/** What `@react-native-async-storage/async-storage` offers, or anything like it. */
export interface AsyncStorage {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<unknown>;
  removeItem(key: string): Promise<unknown>;
}

/** `AppState` of `react-native`. */
export interface AppState {
  addEventListener(type: 'change', listener: (state: string) => void): { remove(): void };
}

export interface AppOptions extends ClientOptions {
  /** Where events survive the app. Without it they are in memory only. */
  readonly storage?: AsyncStorage;
  /** Tells when the app goes to the background: what is queued is sent and stored at once. */
  readonly appState?: AppState;
  /** Calls the function when the network is back; returns what ends that. Optional: an attempt is made every 30 s anyway. */
  readonly onOnline?: (run: () => void) => () => void;
  /** Evenly in [0, 1), 32 random bits of cryptographic quality. Needed where there is no `crypto.getRandomValues`. */
  readonly random?: () => number;
}

/** Characters stored at most: Android gives an app 6 MB in all. */
const charactersMax = 1_500_000;

/**
 * A client for React Native. One at a time for a `url` and `key`: they share a place in the storage.
 *
 * @throws TypeError when `url` or `key` is missing, or there is no source of chance.
 */
export function createClient<Events extends EventShapes<Events> = AnyEvents>(
  options: AppOptions,
): Client<Events> {
  const { storage, appState, onOnline, random, ...rest } = options;
  if (!random && !globalThis.crypto?.getRandomValues) {
    throw new TypeError('random must be given: there is no crypto.getRandomValues here');
  }
  return createClientIn(
    {
      exists: () => true,
      random: random ?? randomOfCrypto,
      bytesOf: utf8Bytes,
      openStore: (name, adopt) => createAppStore(name, adopt, storage),
      listen(leave, resume) {
        const subscription = appState?.addEventListener('change', (state) => {
          if (state === 'active') resume();
          else leave(false);
        });
        const stop = onOnline?.(resume);
        return () => {
          subscription?.remove();
          stop?.();
        };
      },
    },
    storage ? rest : { ...rest, persist: false },
  );
}

/** All rows are one item, written once for all that changed while the last write was under way. */
function createAppStore(name: string, adopt: Adopt, storage: AsyncStorage | undefined): DeviceStore {
  const rows = new Map<number, KeptEvent>();
  /** What an earlier run left and the queue had no room for: for the next run, under numbers below 0. */
  let left: KeptEvent[] = [];
  let characters = 0;
  let writing: Promise<unknown> = Promise.resolve();
  let next: Promise<unknown> | undefined;
  /** Nothing is written over what an earlier run left before that was read. */
  let ready: Promise<unknown> | undefined;
  let forgotten = false;

  return {
    async save(events) {
      await ready;
      const full = events.findIndex((event) => !set(event));
      await write();
      return full < 0 ? events.length : full;
    },
    // Nothing is done here before a call returns: whoever calls this saves what is left by `save`.
    saveNow: () => 0,
    remove(sequences) {
      for (const sequence of sequences) drop(sequence);
      write().catch(() => {});
    },
    clear() {
      // Also what is just being read.
      forgotten = ready !== undefined;
      left = [];
      rows.clear();
      characters = 0;
      write().catch(() => {});
    },
    release: () => {},
    resume() {
      ready ??= takeOver().catch(() => {});
    },
    readNote: () => undefined,
    writeNote: () => {},
  };

  async function takeOver(): Promise<void> {
    const events = inOrder(parseEvents((await storage?.getItem(name)) ?? undefined));
    if (forgotten) return;
    const taken = adopt(events);
    for (const event of taken) set(event);
    const rest = events.slice(taken.length);
    left = rest.map(([, ...kept], index) => [index - rest.length, ...kept]);
    for (const [, text] of left) characters += text.length;
    await write();
  }

  function set(row: KeptEvent): boolean {
    drop(row[0]);
    if (characters + row[1].length > charactersMax) return false;
    characters += row[1].length;
    rows.set(row[0], row);
    return true;
  }

  function drop(sequence: number): void {
    characters -= rows.get(sequence)?.[1].length ?? 0;
    rows.delete(sequence);
  }

  function write(): Promise<unknown> {
    next ??= writing = writing
      .catch(() => {})
      .then(() => {
        next = undefined;
        const all = [...left, ...rows.values()];
        return all.length > 0 ? storage?.setItem(name, JSON.stringify(all)) : storage?.removeItem(name);
      });
    return next;
  }
}
