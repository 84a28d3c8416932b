import type { Clock } from './clock.ts';
import type { Delivery } from './delivery.ts';
import type { Platform } from './platform.ts';
import type { QueuedEvent } from './queue.ts';
import type { DeliveryHooks } from './sender.ts';

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

/** An event as a store keeps it. Times are milliseconds since the Unix epoch, by the server's clock as far as we know it. */
export interface KeptEvent {
  readonly sequence: number;
  readonly text: string;
  readonly queuedAtMs: number;
  /** First sent; undefined: never. */
  readonly triedAtMs: number | undefined;
}

export interface Keeper extends Required<DeliveryHooks> {
  /** The store has these events already: they were adopted. */
  adopted(events: readonly KeptEvent[]): void;
  /** Saves all that has not met its end. */
  saveAll(): Promise<void>;
  /** The last chance. Returns the events that are nowhere but in memory. */
  saveNow(): readonly QueuedEvent[];
}

/**
 * Sees to it that what takes long survives: an event is saved when an attempt with it failed, or when it has not met its end after
 * `saveAfterMs`. On the good path nothing is ever written.
 *
 * What must stay true: an event that the store has as never sent is not sent before the store knows; else, found years later, it could be
 * stored a second time.
 */
export function createKeeper(
  store: Store,
  platform: Pick<Platform<unknown>, 'after'>,
  delivery: () => Pick<Delivery, 'clock' | 'pending' | 'tell'>,
  saveAfterMs: number,
): Keeper {
  /** By sequence: false while an event is being saved, true from then on. */
  const saved = new Map<number, boolean>();
  let armed = false;
  let complained = false;

  return {
    queued: () => arm(saveAfterMs),
    trying(events) {
      const known = events.filter(isKnown);
      return known.length > 0 ? save(known) : undefined;
    },
    failed(events) {
      void save(events.filter(isUnknown));
    },
    ended(events) {
      const known = events.filter(isKnown).map(({ sequence }) => sequence);
      if (known.length > 0) store.remove(known);
      for (const sequence of known) saved.delete(sequence);
    },
    adopted(events) {
      for (const { sequence } of events) saved.set(sequence, true);
    },
    saveAll: () => save(delivery().pending().filter(isUnknown)),
    saveNow() {
      // What is just being saved may not get that far.
      const unsaved = delivery()
        .pending()
        .filter(({ sequence }) => !saved.get(sequence));
      const kept = unsaved.length > 0 ? store.saveNow(toKept(unsaved, delivery().clock)) : 0;
      for (const { sequence } of unsaved.slice(0, kept)) saved.set(sequence, true);
      return unsaved.slice(kept);
    },
  };

  /** Looks when the oldest unsaved event is due. If it is, there is trouble, and the younger ones are saved with it. */
  function arm(inMs: number): void {
    if (armed) return;
    armed = true;
    platform.after(inMs, () => {
      armed = false;
      const unsaved = delivery().pending().filter(isUnknown);
      const [oldest] = unsaved;
      if (!oldest) return;
      const dueInMs = oldest.queuedAt + saveAfterMs - delivery().clock.elapsed();
      // A timer may ring a little early.
      if (dueInMs > 5) arm(dueInMs);
      else void save(unsaved);
    });
  }

  function isKnown({ sequence }: QueuedEvent): boolean {
    return saved.has(sequence);
  }

  function isUnknown(event: QueuedEvent): boolean {
    return !isKnown(event);
  }

  async function save(events: readonly QueuedEvent[]): Promise<void> {
    if (events.length === 0) return;
    for (const { sequence } of events) saved.set(sequence, !!saved.get(sequence));
    let kept = 0;
    let message = 'The store is full';
    try {
      kept = await store.save(toKept(events, delivery().clock));
    } catch (error) {
      message = String(error);
    }
    for (const [index, event] of events.entries()) {
      const { sequence } = event;
      // What met its end meanwhile is no longer among them.
      if (index < kept && isKnown(event)) saved.set(sequence, true);
      else if (!saved.get(sequence)) saved.delete(sequence);
    }
    if (kept < events.length && !complained) delivery().tell({ kind: 'unsaved', message });
    complained = kept < events.length;
    if (complained) arm(saveAfterMs);
  }
}

function toKept(events: readonly QueuedEvent[], clock: Clock): KeptEvent[] {
  const offsetMs = clock.serverMs() - clock.elapsed();
  return events.map(({ sequence, text, queuedAt, triedAt }) => ({
    sequence,
    text,
    queuedAtMs: queuedAt + offsetMs,
    triedAtMs: triedAt === undefined ? triedAt : triedAt + offsetMs,
  }));
}
