import type { Delivery, KeptEvent, Platform, QueuedEvent, Store } from '@tidemark/core';
import { adoptFolders } from './adopt.ts';
import { createSpool } from './spool.ts';
import { holdFolder } from './spool-lock.ts';

export interface SpoolOptions {
  readonly spoolDir: string;
  readonly spoolBytesMax: number;
  /** Half of these is left to new events while old ones are taken over. */
  readonly queueEventsMax: number;
  readonly queueBytesMax: number;
}

/** A client's spool at work: the store of its engine, what comes back from there, and its end. */
export interface Spooling {
  readonly store: Store;
  /** Begins to take over what earlier runs left. */
  adopt(): void;
  /** Resolves when the disk knows what has met its end. */
  settled(): Promise<unknown>;
  /** Writes what is only in memory to disk, at once. Returns what it could not write. */
  leave(): readonly QueuedEvent[];
  /** Lets the folder go, to be taken over where something is left in it. */
  close(): Promise<void>;
}

const eventsAtOnce = 1_000;
const lookAgainMs = 200;

export function createSpooling(
  options: SpoolOptions,
  platform: Pick<Platform<unknown>, 'after'>,
  delivery: () => Delivery,
): Spooling {
  const spool = createSpool(options.spoolDir, options.spoolBytesMax);
  const hold = holdFolder(spool.folder);
  let closed = false;
  let adopting: Promise<void> | undefined;

  return {
    store: spool,
    adopt() {
      adopting = adoptFolders(options.spoolDir, spool, take).catch((error: unknown) => {
        delivery().tell({ kind: 'unsaved', message: `What is in the spool stays there: ${String(error)}` });
      });
    },
    settled: () => spool.settled(),
    leave() {
      const unsaved = delivery().saveNow();
      spool.tidy();
      return unsaved;
    },
    async close() {
      closed = true;
      // Files that are just being moved here must not meet a folder that is just being removed.
      await adopting;
      await spool.close();
      await hold.release();
    },
  };

  async function take(events: readonly KeptEvent[]): Promise<readonly number[]> {
    while (!closed) {
      const { held } = delivery();
      if (held.events * 2 < options.queueEventsMax && held.bytes * 2 < options.queueBytesMax) {
        const adopted = delivery().adopt(events.slice(0, eventsAtOnce));
        if (adopted.length > 0) return adopted.map(([sequence]) => sequence);
      }
      await new Promise<void>((resolve) => {
        platform.after(lookAgainMs, resolve);
      });
    }
    return [];
  }
}
