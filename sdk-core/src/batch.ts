import type { Queue, QueuedEvent } from './queue.ts';
import type { DroppedEvents } from './wire/index.ts';

/** Events that are sent together, again and again in the same company until their end is known. */
export interface Batch {
  events: readonly QueuedEvent[];
  /** What the collector is told with them; undefined: nothing was dropped since the batch before. */
  readonly dropped?: DroppedEvents | undefined;
  /** A request with it is under way. */
  busy?: boolean;
}

export interface BatchLimits {
  readonly batchEventsMax: number;
  readonly batchBytesMax: number;
}

/** Takes the next batch. An event larger than `batchBytesMax` goes alone. Precondition: the queue is not empty. */
export function takeBatch(
  queue: Queue,
  { batchEventsMax, batchBytesMax }: BatchLimits,
  dropped?: DroppedEvents,
): Batch {
  const events: QueuedEvent[] = [];
  let bytes = 0;
  for (let next; (next = queue.first()) && events.length < batchEventsMax; queue.shift()) {
    // One more for the comma.
    bytes += next.bytes + 1;
    if (bytes > batchBytesMax && events.length > 0) break;
    events.push(next);
  }
  return { events, dropped };
}

/** Two halves, in order. Precondition: at least two events. */
export function halve({ events, dropped }: Batch): Batch[] {
  const middle = events.length >> 1;
  return [{ events: events.slice(0, middle), dropped }, { events: events.slice(middle) }];
}

/** The request body as text. What is said about the batch travels in the query: it changes with every attempt. */
export function bodyOf(events: readonly string[]): string {
  return `{"events":[${events.join()}]}`;
}
