import type { Finding } from './finding.ts';
import type { SeenEvent, SentEvent, StreamHistory } from './history.ts';

/**
 * That every event has its place (G7) and says whether it is late (G8).
 *
 * The order time is `max(min(eventTime, arrival), arrival − L)`. We know of the arrival that it lies between the first request
 * and the first reply: where the clock went evenly that bounds the place from both sides, and closely.
 */
export function checkTimes({ full, sent, delay }: StreamHistory): Finding[] {
  const findings: Finding[] = [];
  for (const page of full.pages) {
    for (const event of page.events) {
      const at = (kind: Finding['kind'], detail: string) =>
        findings.push({ kind, atMs: page.answeredMs, detail: `${event.id} ${detail}` });
      const wrong = wrongFlag(event);
      if (wrong !== undefined) at('wronglyLate', wrong);
      const bounds = delay === undefined ? undefined : boundsOf(event, sent.get(event.id), delay);
      if (bounds !== undefined && (event.orderTime < bounds.from || event.orderTime > bounds.to)) {
        at('misplaced', `stands at ${event.orderTime}, outside of ${bounds.from} to ${bounds.to}`);
      }
    }
  }
  return findings;
}

function wrongFlag({ orderTime, eventTime, late, lateByMs }: SeenEvent): string | undefined {
  const by = orderTime - eventTime;
  if (late !== by > 0n) return `is ${late ? '' : 'not '}called late by ${by} microseconds`;
  const expected = late ? Number((by + 999n) / 1_000n) : 0;
  return lateByMs === expected ? undefined : `is late by ${expected} ms and says ${lateByMs}`;
}

/** The database's clock and ours are read at different moments, and ours in whole milliseconds. */
const slack = 5_000n;

function boundsOf({ eventTime }: SeenEvent, sent: SentEvent | undefined, delay: bigint) {
  if (sent?.stored === undefined) return undefined;
  const place = (arrival: bigint) => {
    const clamped = eventTime < arrival ? eventTime : arrival;
    return clamped > arrival - delay ? clamped : arrival - delay;
  };
  return { from: place(sent.stored.from - slack), to: place(sent.stored.to + slack) };
}
