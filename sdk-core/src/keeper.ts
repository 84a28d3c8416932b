import type { Clock } from './clock.ts';
import type { Platform } from './platform.ts';
import { type Queue, type QueuedEvent, trackedFrom } from './queue.ts';
import type { Report } from './report.ts';

/**
 * Where events survive the program: a folder, IndexedDB, localStorage. It has its own limits. Calls take effect in the order they were
 * made in.
 */
export interface Store {
  /**
   * Keeps events, or what changed of events it has. Resolves when they would survive, with how many of them, from the first on, had room.
   * Rejects when it cannot tell: they count as not kept.
   */
  readonly save: (events: readonly KeptEvent[]) => Promise<number>;
  /** The same before it returns: the program is about to end. */
  readonly saveNow: (events: readonly KeptEvent[]) => number;
  /** Forgets events, by `sequence`. It may be lazy: an event that comes back is a duplicate and is stored once. */
  readonly remove: (sequences: readonly number[]) => void;
}

/**
 * An event as a store keeps it. Times are milliseconds since the Unix epoch, by the server's clock as far as we know it; without `triedAtMs`
 * it was never sent. Devices have it so: it must not change, another version of this program reads it.
 */
export type KeptEvent = readonly [sequence: number, text: string, queuedAtMs: number, triedAtMs?: number];

/** Without a store it keeps nothing. */
export interface Keeper {
  /** An event was queued. On the hot path. */
  arm(): void;
  /** These are about to be sent for the first time; the attempt waits for the promise. */
  readonly trying: (events: readonly QueuedEvent[]) => Promise<unknown>;
  /** Saves all that is not saved yet. */
  readonly keep: () => Promise<void>;
  /** They met their end, one way or the other. */
  forget(events: readonly QueuedEvent[]): void;
  /** The last chance. Returns the events that are nowhere but in memory. */
  readonly saveNow: () => readonly QueuedEvent[];
}

/**
 * Sees to it that what takes long survives: all is saved when an attempt failed, or when an event has not met its end after `saveAfterMs`. On
 * the good path nothing is ever written.
 *
 * What must stay true: the store has what was adopted, and of what was tracked the first events without a gap, so that one number says which.
 * And an event that the store has as never sent is not sent before the store knows; else, found years later, it could be stored a second time.
 */
export function createKeeper(
  { store, after }: Pick<Platform<unknown>, 'after' | 'store'>,
  saveAfterMs: number,
  clock: Clock,
  queue: Queue,
  tell: (report: Report) => void,
): Keeper {
  /** The store has the pending events before this one, and is being given those before that one. */
  let savedTo = trackedFrom;
  let savingTo = trackedFrom;
  let saving = Promise.resolve();
  let armed = false;
  let complained = false;

  return {
    arm: () => arm(saveAfterMs),
    trying: (events) => save(events.filter(isKnown)),
    keep,
    forget(events) {
      const known = events.filter(isKnown);
      if (known.length > 0) store?.remove(known.map(({ sequence }) => sequence));
    },
    saveNow() {
      // What is just being saved may not get that far.
      const events = unsaved();
      const kept = store?.saveNow(toKept(events, clock)) ?? 0;
      note(events, kept, queue.next());
      return events.slice(kept);
    },
  };

  /** Looks when the oldest unsaved event is due. If it is, there is trouble, and the younger ones are saved with it. */
  function arm(inMs: number): void {
    if (armed || !store) return;
    armed = true;
    after(inMs, () => {
      armed = false;
      const [oldest] = unsaved();
      if (!oldest) return;
      const dueInMs = oldest.queuedAt + saveAfterMs - clock.elapsed();
      // A timer may ring a little early.
      if (dueInMs > 5) arm(dueInMs);
      else void keep();
    });
  }

  /** One after the other: one that finds no room must not leave a gap before the next. */
  function keep(): Promise<void> {
    return (saving = saving.then(async () => {
      if (!store) return;
      const events = unsaved();
      const end = (savingTo = queue.next());
      note(events, await save(events), end);
      savingTo = savedTo;
    }));
  }

  /** Of the unsaved events up to `end` so many are saved now, from the first on. */
  function note(events: readonly QueuedEvent[], kept: number, end: number): void {
    savedTo = Math.max(savedTo, events[kept]?.sequence ?? end);
  }

  function isKnown({ sequence }: QueuedEvent): boolean {
    return sequence < savedTo || sequence < savingTo;
  }

  function unsaved(): QueuedEvent[] {
    return queue.list().filter(({ sequence }) => sequence >= savedTo);
  }

  /** Resolves with how many, from the first on, had room. */
  async function save(events: readonly QueuedEvent[]): Promise<number> {
    if (!store || events.length === 0) return 0;
    let kept = 0;
    let message = 'The store is full';
    try {
      kept = await store.save(toKept(events, clock));
    } catch (error) {
      message = String(error);
    }
    const isFull = kept < events.length;
    if (isFull && !complained) tell({ kind: 'unsaved', message });
    complained = isFull;
    if (isFull) arm(saveAfterMs);
    return kept;
  }
}

function toKept(events: readonly QueuedEvent[], clock: Clock): KeptEvent[] {
  const offsetMs = clock.serverMs() - clock.elapsed();
  return events.map(({ sequence, json, queuedAt, triedAt }) => {
    const kept = [sequence, json, queuedAt + offsetMs] as const;
    return triedAt === undefined ? kept : [...kept, triedAt + offsetMs];
  });
}
