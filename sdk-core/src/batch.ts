import type { QueuedEvent } from './queue.ts';
import type { DroppedEvents } from './wire/index.ts';

/** Events that are sent together, again and again in the same company until their end is known. */
export interface Batch {
  /** Ascends: the order in which they were begun. */
  readonly order: number;
  members: QueuedEvent[];
  /** Of its body, about: what decides when it is full. */
  bytes: number;
  /** It was sent: nothing joins it any more. */
  tried?: boolean;
  /** A request with it is under way. */
  busy?: boolean;
  /** What the collector is told with it; undefined: nothing was dropped since the batch before. */
  dropped?: DroppedEvents | undefined;
}

export interface BatchLimits {
  readonly batchEventsMax: number;
  readonly batchBytesMax: number;
}

/** Whether `moreBytes` would be too many. An event larger than `batchBytesMax` goes alone. */
export function isFull(
  { members, bytes }: Batch,
  { batchEventsMax, batchBytesMax }: BatchLimits,
  moreBytes = 0,
): boolean {
  return members.length >= batchEventsMax || bytes + moreBytes >= batchBytesMax;
}

/** Two halves, in order. Precondition: at least two events. */
export function halve(batch: Batch): Batch[] {
  const middle = batch.members.length >> 1;
  return [
    { ...batch, members: batch.members.slice(0, middle) },
    { ...batch, members: batch.members.slice(middle), dropped: undefined },
  ];
}

/** The request body as text. What is said about the batch travels in the query: it changes with every attempt. */
export function bodyOf(events: readonly string[]): string {
  return `{"events":[${events.join()}]}`;
}
