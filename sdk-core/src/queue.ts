import { type Batch, type BatchLimits, isFull } from './batch.ts';

/** Events that were tracked are numbered from here on, those that were adopted below. As V8 has it: small integers, all of them. */
export const trackedFrom = 2 ** 29;

/** An event between `track()` and its end. Its text is fixed; only `triedAt` changes. */
export interface QueuedEvent {
  /** Ascends within a client among the events that were tracked: the order of `track()`; and among those that were adopted. */
  readonly sequence: number;
  /** The event as JSON. */
  readonly json: string;
  /** UTF-8 bytes of `json`. */
  readonly bytes: number;
  /** When it was tracked, in elapsed time (milliseconds; see clock.ts). */
  readonly queuedAt: number;
  /** `occurredAt` is our own stamp of this session and may be restated. */
  readonly stamped: boolean;
  /** When it was first sent, in elapsed time; undefined: never. */
  triedAt: number | undefined;
}

export interface QueueLimits {
  readonly queueEventsMax: number;
  readonly queueBytesMax: number;
}

export interface Load {
  readonly events: number;
  readonly bytes: number;
}

/**
 * All events that have not met their end, in batches from the beginning: the last batch takes in what comes until it is full or was sent.
 * The limits count them all, so that a collector that does not answer cannot make room.
 */
export interface Queue {
  /** The oldest first. */
  readonly batches: Batch[];
  /** The order of the next batch to be begun. */
  begun(): number;
  /** Precondition: it fits. Answers with whether it is the first of a batch, or makes it full. */
  push(event: QueuedEvent): boolean;
  /** A sequence number for an event that is tracked. */
  number(): number;
  /** The one that comes next. */
  next(): number;
  fits(bytes: number): boolean;
  /** Takes out the oldest event that was never sent. */
  shift(): QueuedEvent | undefined;
  /** Makes room: the events have met their end. */
  release(events: readonly QueuedEvent[]): void;
  /** What counts against the limits. */
  readonly held: Load;
  /** The oldest first. */
  list(): QueuedEvent[];
}

export function createQueue(
  limits: QueueLimits & BatchLimits,
  /** Told of a batch that is not the last one any more, and how many there are. */
  full?: (batch: Batch, batches: number) => void,
): Queue {
  const batches: Batch[] = [];
  const held = { events: 0, bytes: 0 };
  let sequence = trackedFrom;
  let begun = 0;

  return {
    batches,
    begun: () => begun,
    held,
    push(event) {
      const { bytes } = event;
      let last = batches.at(-1);
      if (!last || last.tried || isFull(last, limits, bytes)) {
        if (last) full?.(last, batches.length);
        batches.push((last = { order: begun++, members: [], bytes: 0 }));
      }
      last.members.push(event);
      // One more for the comma.
      last.bytes += bytes + 1;
      held.events++;
      held.bytes += bytes;
      return last.members.length === 1 || isFull(last, limits);
    },
    number: () => sequence++,
    next: () => sequence,
    fits: (bytes) => held.events < limits.queueEventsMax && held.bytes + bytes <= limits.queueBytesMax,
    shift() {
      const batch = batches.find(({ tried, members }) => !tried && members.length > 0);
      if (!batch) return undefined;
      const [first, ...others] = batch.members;
      batch.members = others;
      return first;
    },
    release(events) {
      held.events -= events.length;
      for (const { bytes } of events) held.bytes -= bytes;
    },
    list: () => batches.flatMap(({ members }) => members),
  };
}
