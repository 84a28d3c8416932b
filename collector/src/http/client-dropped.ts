import { type DroppedEvents, type DropReason, dropReasons } from '@tidemark/core/wire';
import type { Context } from 'hono';
import type { Metrics } from '../metrics.ts';

/** What one batch can say at most: more is a mistake. */
const eventsMax = 1e9;

/**
 * Counts what `?dropped={"queue_full":3}` says: the events that a client has given up since the batch before. Reasons that are not known
 * and numbers that are none count as absent.
 */
export function countDropped({ req: request }: Context, metrics: Pick<Metrics, 'clientDropped'>): void {
  const text = request.url.includes('dropped=') ? request.query('dropped') : undefined;
  if (text === undefined) return;
  for (const [reason, events] of Object.entries(parseDropped(text))) {
    metrics.clientDropped.inc({ reason }, events);
  }
}

function parseDropped(text: string): DroppedEvents {
  const said = parseObject(text);
  const dropped: Partial<Record<DropReason, number>> = {};
  for (const reason of dropReasons) {
    const events = said[reason];
    if (typeof events === 'number' && Number.isInteger(events) && events > 0 && events <= eventsMax) {
      dropped[reason] = events;
    }
  }
  return dropped;
}

function parseObject(text: string): { readonly [name: string]: unknown } {
  try {
    return Object(JSON.parse(text)) as { readonly [name: string]: unknown };
  } catch {
    return {};
  }
}
