import { type Pane, parseTime, type StoredEvent, type Window } from '@tidemark/core/wire';

/** Windows of a stream as tests add them up: by window and group, how many events and what sum. */
export type Totals = ReadonlyMap<string, { readonly count: number; readonly sum: number }>;

const keyOf = (start: bigint, group: Pane['group']): string => `${start} ${JSON.stringify(group)}`;

function add(
  totals: Map<string, { count: number; sum: number }>,
  key: string,
  count: number,
  sum: number,
): void {
  const total = totals.get(key) ?? { count: 0, sum: 0 };
  totals.set(key, { count: total.count + count, sum: total.sum + sum });
}

/** All panes of each window together, in whichever window they came. */
export function totalsOfWindows(windows: readonly Window[]): Totals {
  const totals = new Map<string, { count: number; sum: number }>();
  for (const window of windows) {
    if ('empty' in window) continue;
    for (const { windowStart, group, count, sum } of window.panes)
      add(totals, keyOf(micros(windowStart), group), count, sum ?? 0);
  }
  return totals;
}

/** The same by going through all events of a stream at once. */
export function totalsOfEvents(
  events: readonly StoredEvent[],
  sizeMs: number,
  groupOf: (event: StoredEvent) => Pane['group'],
  valueOf: (event: StoredEvent) => number = () => 0,
): Totals {
  const totals = new Map<string, { count: number; sum: number }>();
  const size = BigInt(sizeMs) * 1_000n;
  for (const event of events) {
    const [eventTime, orderTime] = [micros(event.eventTime), micros(event.orderTime)];
    const moment = eventTime < orderTime ? eventTime : orderTime;
    const rest = moment % size;
    add(totals, keyOf(rest < 0n ? moment - rest - size : moment - rest, groupOf(event)), 1, valueOf(event));
  }
  return totals;
}

export const micros = (text: string): bigint => parseTime(text) ?? 0n;
