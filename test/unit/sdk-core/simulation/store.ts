import type { KeptEvent, Store } from '@tidemark/core';
import type { Chance } from './chance.ts';
import type { VirtualTime } from './virtual-time.ts';

/** A disk: what has been written survives crashes, what is being written may or may not. */
export interface ModelStore extends Store {
  /** What a next run finds. Nothing that the crashed run still had under way is written any more. */
  crash(): readonly KeptEvent[];
}

export function createModelStore(time: VirtualTime, chance: Chance): ModelStore {
  const kept = new Map<number, KeptEvent>();
  let crashed = false;

  return {
    save(events) {
      return new Promise((resolve) => {
        // Calls take effect in order: all of them take equally long.
        time.after(saveMs, () => {
          if (crashed) return;
          for (const event of events) kept.set(event[0], event);
          resolve(events.length);
        });
      });
    },
    saveNow(events) {
      for (const event of events) kept.set(event[0], event);
      return events.length;
    },
    remove(sequences) {
      // Lazily, and sometimes not at all.
      if (chance.happens(0.2)) return;
      time.after(saveMs, () => {
        if (!crashed) for (const sequence of sequences) kept.delete(sequence);
      });
    },
    crash() {
      crashed = true;
      return [...kept.values()];
    },
  };
}

/** How long a save takes. */
export const saveMs = 5;
