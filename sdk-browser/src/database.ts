// What is made here has one listener of a kind.
// oxlint-disable unicorn/prefer-add-event-listener
import type { KeptEvent } from '@tidemark/core';

/**
 * Rows in IndexedDB, by namespace and sequence. Calls take effect in the order they were made in; each resolves with undefined when it had
 * none.
 */
export interface Database {
  /**
   * In one step: rows of a namespace go, and others come into our own. Resolves with the sequences of those that came, from the first on.
   * What replaces others always has room, and what was tried already.
   */
  change(
    rows: readonly KeptEvent[],
    gone?: readonly number[],
    namespace?: string,
  ): Promise<readonly number[] | undefined>;
  read(namespace: string): Promise<KeptEvent[] | undefined>;
  /** Of each row. */
  keys(): Promise<[namespace: string, sequence: number][] | undefined>;
  clear(): Promise<unknown>;
}

/** Events of all tabs together. */
const eventsMax = 10_000;

/** A database that does not open (Safari has such days) must not hold up what waits for it. */
const openMsMax = 2_000;

const rowsOf = 'events';

/** Opens nothing until it is used. */
export function createDatabase(name: string, own: string): Database {
  let opening: Promise<IDBDatabase> | undefined;

  return {
    change: (rows, gone = [], namespace = own) =>
      transact((store) => {
        const kept: number[] = [];
        for (const sequence of gone) store.delete([namespace, sequence]);
        const count = store.count();
        count.onsuccess = () => {
          for (const row of rows) {
            const [sequence, , , triedAtMs] = row;
            if (!triedAtMs && gone.length === 0 && count.result + kept.length >= eventsMax) return;
            store.put(row, [own, sequence]);
            kept.push(sequence);
          }
        };
        return { result: kept };
      }),
    read: (namespace) => transact((store) => store.getAll(IDBKeyRange.bound([namespace], [namespace, []]))),
    keys: () => transact((store) => store.getAllKeys() as IDBRequest),
    clear: () => transact((store) => store.clear()),
  };

  async function transact<Result>(
    run: (store: IDBObjectStore) => { readonly result: Result },
  ): Promise<Result | undefined> {
    opening ??= open(name);
    try {
      const transaction = (await opening).transaction(rowsOf, 'readwrite');
      const request = run(transaction.objectStore(rowsOf));
      await new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = reject;
      });
      return request.result;
    } catch {
      // The browser may have closed or deleted it: the next call opens it anew.
      return (opening = undefined);
    }
  }
}

function open(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name);
    request.onupgradeneeded = () => request.result.createObjectStore(rowsOf);
    request.onsuccess = () => resolve(request.result);
    request.onerror = reject;
    setTimeout(reject, openMsMax);
  });
}
