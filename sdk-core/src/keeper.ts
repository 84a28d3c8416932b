import type { Clock } from './clock.ts';
import type { Platform } from './platform.ts';
import type { QueuedEvent } from './queue.ts';
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
  /** The store has this event already. */
  adopted(sequence: number): void;
  /** These are about to be sent for the first time; the attempt waits for the promise. */
  readonly trying: (events: readonly QueuedEvent[]) => Promise<void>;
  /** Saves those that are not saved yet. */
  readonly keep: (events: readonly QueuedEvent[]) => Promise<void>;
  /** They met their end, one way or the other. */
  forget(events: readonly QueuedEvent[]): void;
  /** The last chance. Returns the events that are nowhere but in memory. */
  readonly saveNow: () => readonly QueuedEvent[];
}

/**
 * Sees to it that what takes long survives: an event is saved when an attempt with it failed, or when it has not met its end after
 * `saveAfterMs`. On the good path nothing is ever written.
 *
 * What must stay true: an event that the store has as never sent is not sent before the store knows; else, found years later, it could be
 * stored a second time.
 */
export function createKeeper(
  { store, after }: Pick<Platform<unknown>, 'after' | 'store'>,
  saveAfterMs: number,
  clock: Clock,
  pending: () => QueuedEvent[],
  tell: (report: Report) => void,
): Keeper {
  /** By sequence: false while an event is being saved, true from then on. */
  const saved = new Map<number, boolean>();
  let armed = false;
  let complained = false;

  return {
    arm: () => arm(saveAfterMs),
    adopted(sequence) {
      saved.set(sequence, true);
    },
    trying: (events) => save(events.filter(isKnown)),
    keep,
    forget(events) {
      const known = events.filter(isKnown).map(({ sequence }) => sequence);
      if (known.length > 0) store?.remove(known);
      for (const sequence of known) saved.delete(sequence);
    },
    saveNow() {
      // What is just being saved may not get that far.
      const unsaved = pending().filter(({ sequence }) => !saved.get(sequence));
      const kept = store?.saveNow(toKept(unsaved, clock)) ?? 0;
      for (const { sequence } of unsaved.splice(0, kept)) saved.set(sequence, true);
      return unsaved;
    },
  };

  /** Looks when the oldest unsaved event is due. If it is, there is trouble, and the younger ones are saved with it. */
  function arm(inMs: number): void {
    if (armed || !store) return;
    armed = true;
    after(inMs, () => {
      armed = false;
      const oldest = pending().find((event) => !isKnown(event));
      if (!oldest) return;
      const dueInMs = oldest.queuedAt + saveAfterMs - clock.elapsed();
      // A timer may ring a little early.
      if (dueInMs > 5) arm(dueInMs);
      else void keep(pending());
    });
  }

  function isKnown({ sequence }: QueuedEvent): boolean {
    return saved.has(sequence);
  }

  function keep(events: readonly QueuedEvent[]): Promise<void> {
    return save(events.filter((event) => !isKnown(event)));
  }

  async function save(events: readonly QueuedEvent[]): Promise<void> {
    if (!store || events.length === 0) return;
    for (const { sequence } of events) saved.set(sequence, !!saved.get(sequence));
    let kept = 0;
    let message = 'The store is full';
    try {
      kept = await store.save(toKept(events, clock));
    } catch (error) {
      message = String(error);
    }
    for (const [index, event] of events.entries()) {
      const { sequence } = event;
      // What met its end meanwhile is no longer among them.
      if (index < kept && isKnown(event)) saved.set(sequence, true);
      else if (!saved.get(sequence)) saved.delete(sequence);
    }
    const isFull = kept < events.length;
    if (isFull && !complained) tell({ kind: 'unsaved', message });
    complained = isFull;
    if (isFull) arm(saveAfterMs);
  }
}

function toKept(events: readonly QueuedEvent[], clock: Clock): KeptEvent[] {
  const offsetMs = clock.serverMs() - clock.elapsed();
  return events.map(({ sequence, text, queuedAt, triedAt }) => {
    const kept = [sequence, text, queuedAt + offsetMs] as const;
    return triedAt === undefined ? kept : [...kept, triedAt + offsetMs];
  });
}
