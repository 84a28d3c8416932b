import type { Finding } from './finding.ts';
import { grouped } from './grouped.ts';
import type { SeenEvent, SeenPane, SeenWindow, StreamHistory, WindowChain } from './history.ts';

/** Of all windows that are read, microseconds. */
export const windowMicros = 1_000_000n;

/**
 * That windows are final (G11): each that any reader was given, whenever that was, holds what the full read has with order times in it, pane by
 * pane; and a reader that follows the cursor gets one after the other.
 */
export function checkWindows({ windows: chains, full }: Pick<StreamHistory, 'windows' | 'full'>): Finding[] {
  const events = full.pages.flatMap((page) => page.events);
  const expected = new Map([...grouped(events, windowOf)].map(([start, held]) => [start, panesOf(held)]));
  const given = new Map<bigint, string>();
  return chains.flatMap((chain) => [
    ...checkSequence(chain, events[0]),
    ...chain.windows.flatMap((window) => checkWindow(chain.reader, window, { expected, given })),
  ]);
}

function checkSequence(
  { reader, fromEarliest, windows }: WindowChain,
  first: SeenEvent | undefined,
): Finding[] {
  const findings: Finding[] = [];
  for (const [index, { start, answeredMs }] of windows.entries()) {
    const before = windows[index - 1];
    if (before === undefined || start === before.end) continue;
    const detail = `${reader} was given the window of ${start} after one that ends at ${before.end}`;
    findings.push({ kind: 'miscounted', atMs: answeredMs, detail });
  }
  const begin = windows[0];
  if (fromEarliest && begin !== undefined && first !== undefined && first.orderTime < begin.start) {
    const detail = `${reader} began at ${begin.start}, after ${first.id}`;
    findings.push({ kind: 'miscounted', atMs: begin.answeredMs, detail });
  }
  return findings;
}

function checkWindow(
  reader: string,
  { start, end, panes, answeredMs }: SeenWindow,
  {
    expected,
    given,
  }: { readonly expected: ReadonlyMap<bigint, string>; readonly given: Map<bigint, string> },
): Finding[] {
  const findings: Finding[] = [];
  if (end - start > windowMicros) {
    const hidden = [...expected.keys()].find((window) => window >= start && window < end);
    if (hidden === undefined) return [];
    return [{ kind: 'miscounted', atMs: answeredMs, detail: `${reader} was told that ${hidden} is empty` }];
  }
  const text = textOf(panes);
  const other = given.get(start);
  if (other !== undefined && other !== text) {
    const detail = `the window of ${start} was ${other}, and then ${reader} was given ${text}`;
    findings.push({ kind: 'changed', atMs: answeredMs, detail });
  }
  given.set(start, text);
  const right = expected.get(start) ?? '';
  if (text !== right) {
    const detail = `${reader} was given ${text || 'nothing'} for the window of ${start}, the full read has ${right || 'nothing'}`;
    findings.push({ kind: 'miscounted', atMs: answeredMs, detail });
  }
  return findings;
}

function panesOf(events: readonly SeenEvent[]): string {
  const panes = [...grouped(events, belongsTo)].map(([windowStart, held]): SeenPane => {
    const sum = held.reduce((total, { number }) => total + Number(number), 0);
    return {
      windowStart,
      late: held.some((event) => windowOf(event) !== windowStart),
      count: held.length,
      sum,
    };
  });
  return textOf(panes);
}

function textOf(panes: readonly SeenPane[]): string {
  return panes
    .toSorted((a, b) => Number(a.windowStart - b.windowStart))
    .map(({ windowStart, late, count, sum }) => `${windowStart}${late ? ' late' : ''}: ${count} with ${sum}`)
    .join('; ');
}

const windowOf = ({ orderTime }: SeenEvent): bigint => boundary(orderTime);

function belongsTo({ orderTime, eventTime }: SeenEvent): bigint {
  return boundary(eventTime < orderTime ? eventTime : orderTime);
}

function boundary(moment: bigint): bigint {
  const rest = moment % windowMicros;
  return rest < 0n ? moment - rest - windowMicros : moment - rest;
}
