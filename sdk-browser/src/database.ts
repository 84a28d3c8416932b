import type { KeptEvent } from '@tidemark/core';
import { untilFull } from './store.ts';

/** Rows in IndexedDB, by namespace and sequence. Calls take effect in the order they were made in; each rejects when it had none. */
export interface Database {
  /** Resolves with how many, from the first on, had room. What was tried already always has. */
  put(namespace: string, rows: readonly KeptEvent[]): Promise<number>;
  remove(namespace: string, sequences: readonly number[]): Promise<unknown>;
  /** In one step: the rows of `from` up to a sequence go, and come back in `to`. */
  move(from: string, last: number, to: string, rows: readonly KeptEvent[]): Promise<unknown>;
  read(namespace: string): Promise<KeptEvent[]>;
  /** Of each row. */
  namespaces(): Promise<string[]>;
  clear(): Promise<unknown>;
}

/** Events of all tabs together. */
const eventsMax = 10_000;

/** A database that does not open (Safari has such days) must not hold up what waits for it. */
const openMsMax = 2_000;

const rowsOf = 'events';

/** Opens nothing until it is used. */
export function createDatabase(name: string): Database {
  let opening: Promise<IDBDatabase> | undefined;

  return {
    async put(namespace, rows) {
      let kept = rows;
      await transact((store) => {
        listen(store.count(), 'success', ({ result }) => {
          kept = untilFull(rows, (row, index) => result + index >= eventsMax && row[3] === undefined);
          putAll(store, namespace, kept);
        });
      });
      return kept.length;
    },
    remove: (namespace, sequences) =>
      transact((store) => {
        for (const sequence of sequences) store.delete([namespace, sequence]);
      }),
    move: (from, last, to, rows) =>
      transact((store) => {
        putAll(store, to, rows);
        store.delete(IDBKeyRange.bound([from], [from, last]));
      }),
    read: (namespace) => transact((store) => store.getAll(IDBKeyRange.bound([namespace], [namespace, []]))),
    namespaces: async () =>
      (await transact<[string, number][]>((store) => store.getAllKeys() as IDBRequest)).map(
        ([namespace]) => namespace,
      ),
    clear: () => transact((store) => store.clear()),
  };

  async function transact<Result>(
    run: (store: IDBObjectStore) => IDBRequest<Result> | void,
  ): Promise<Result> {
    opening ??= open(name);
    try {
      const transaction = (await opening).transaction(rowsOf, 'readwrite');
      const request = run(transaction.objectStore(rowsOf));
      return await new Promise((resolve, reject) => {
        listen(transaction, 'complete', () => resolve(request?.result as Result));
        listen(transaction, 'abort', () => reject(transaction.error));
      });
    } catch (error) {
      // The browser may have closed or deleted it: the next call opens it anew.
      opening = undefined;
      throw error;
    }
  }
}

function putAll(store: IDBObjectStore, namespace: string, rows: readonly KeptEvent[]): void {
  for (const row of rows) store.put(row, [namespace, row[0]]);
}

function open(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name);
    listen(request, 'upgradeneeded', () => request.result.createObjectStore(rowsOf));
    listen(request, 'success', () => resolve(request.result));
    listen(request, 'error', reject);
    setTimeout(reject, openMsMax);
  });
}

function listen<Target extends EventTarget>(
  target: Target,
  name: string,
  run: (target: Target) => unknown,
): void {
  target.addEventListener(name, () => run(target));
}
