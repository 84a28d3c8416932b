import type { KeptEvent, Store } from '@tidemark/core';

/** Where events of this device survive the page or the app, and come back. */
export interface DeviceStore extends Store {
  /** Forgets everything, of other runs too. */
  clear(): void;
  /** What is stored may be taken over by others, until `resume`. */
  release(): void;
  /** The client begins, or goes on: what is left of earlier runs is adopted, now and later. */
  resume(): void;
  /** What may survive for an hour without harm when it is lost: the last sample of the clock. */
  readNote(): string | undefined;
  writeNote(text: string): unknown;
}

/** Takes events of an earlier run; answers with what it took, from the first on, under new numbers. */
export type Adopt = (events: readonly KeptEvent[]) => readonly KeptEvent[];

/** In the order of `track()`, each event once: what comes later among them wins. */
export function inOrder(events: readonly KeptEvent[]): KeptEvent[] {
  const last = new Map(events.map((event) => [event[0], event]));
  return [...last.values()].sort((a, b) => a[0] - b[0]);
}

/** Whatever else was found there is no event. */
export function parseEvents(json = '[]'): KeptEvent[] {
  try {
    return (JSON.parse(json) as KeptEvent[]).filter((event) => event[1][0] === '{');
  } catch {
    return [];
  }
}
