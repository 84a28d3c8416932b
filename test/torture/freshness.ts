import type { History, Interval, SentEvent, StreamHistory } from './history.ts';

/** How soon acknowledged events could be read, in calm times (G9): after `max(eventTime + L, reply)`, in milliseconds. */
export interface Freshness {
  readonly measured: number;
  readonly worstMs: number;
  /** Events that took more than the second that G9 allows. */
  readonly over: number;
}

const allowedMs = 1_000;

export function measureFreshness({ streams, calm }: History): Freshness {
  const waits = streams.flatMap((stream) => waitsOf(stream, calm));
  return {
    measured: waits.length,
    worstMs: waits.reduce((worst, wait) => Math.max(worst, wait), 0),
    over: waits.filter((wait) => wait > allowedMs).length,
  };
}

function waitsOf(stream: StreamHistory, calm: readonly Interval[]): number[] {
  const firstSeen = new Map<string, number>();
  for (const chain of stream.chains) {
    for (const page of chain.pages) {
      for (const { id } of page.events) {
        const seen = firstSeen.get(id);
        if (seen === undefined || page.answeredMs < seen) firstSeen.set(id, page.answeredMs);
      }
    }
  }
  const waits: number[] = [];
  for (const event of stream.sent.values()) {
    const dueMs = stream.delay === undefined ? undefined : dueOf(event, stream.delay);
    if (dueMs === undefined || event.sentMs === undefined) continue;
    const sentMs = event.sentMs;
    const within = calm.find(({ fromMs, toMs }) => sentMs >= fromMs && dueMs + allowedMs <= toMs);
    if (within === undefined) continue;
    waits.push(Math.max(0, (firstSeen.get(event.id) ?? within.toMs) - dueMs));
  }
  return waits;
}

/** `max(eventTime + L, reply)` on our clock. An event without a time happened when it came. */
function dueOf({ occurredAt, sentMs, acknowledgedMs, stored }: SentEvent, delay: bigint): number | undefined {
  if (sentMs === undefined || acknowledgedMs === undefined || stored === undefined) return undefined;
  const eventTime = occurredAt ?? stored.to;
  return Math.max(acknowledgedMs, sentMs + Number(eventTime + delay - stored.from) / 1_000);
}
