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

/** The rows before the first that there is no room for. */
export function untilFull(
  rows: readonly Row[],
  isFull: (row: Row, index: number) => boolean,
): readonly Row[] {
  const full = rows.findIndex(isFull);
  return full < 0 ? rows : rows.slice(0, full);
}

/** Whatever else was found there is no row. */
export function parseRows(json = '[]'): Row[] {
  try {
    return (JSON.parse(json) as Row[]).filter((row) => row[1][0] === '{');
  } catch {
    return [];
  }
}
