import type { KeptEvent, Store } from '@tidemark/core';

/** Where events of this device survive the page or the app, and come back. */
export interface DeviceStore extends Store {
  /** Hands over what is left of earlier runs, now and later. `adopt` answers with what it took, from the first on, under new numbers. */
  start(adopt: (events: readonly KeptEvent[]) => readonly KeptEvent[]): void;
  /** Forgets everything, of other runs too. */
  clear(): void;
  /** What is stored may be taken over by others, until `resume`. */
  release(): void;
  resume(): void;
  /** What may survive for an hour without harm when it is lost: the last sample of the clock. */
  readonly note: { read(): string | undefined; write(text: string): unknown };
}

/** As it is stored. It must not change: another version of this program reads it. */
export type Row = readonly [sequence: number, text: string, queuedAtMs: number, triedAtMs?: number];

export function toRow({ sequence, text, queuedAtMs, triedAtMs }: KeptEvent): Row {
  return triedAtMs === undefined ? [sequence, text, queuedAtMs] : [sequence, text, queuedAtMs, triedAtMs];
}

/** Rows in the order of `track()`, each sequence once: what comes later among them wins. */
export function toKept(rows: readonly Row[]): KeptEvent[] {
  const last = new Map(rows.map((row) => [row[0], row]));
  return [...last.values()]
    .sort((a, b) => a[0] - b[0])
    .map(([sequence, text, queuedAtMs, triedAtMs]) => ({ sequence, text, queuedAtMs, triedAtMs }));
}

/** Whatever else was found there is no row. */
export function parseRows(json = '[]'): Row[] {
  try {
    return (JSON.parse(json) as Row[]).filter((row) => row[1][0] === '{');
  } catch {
    return [];
  }
}
