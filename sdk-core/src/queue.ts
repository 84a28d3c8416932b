/** Events that were tracked are numbered from here on, those that were adopted below. As V8 has it: small integers, all of them. */
export const trackedFrom = 2 ** 29;

/** An event between `track()` and its end. Its text is fixed; only `triedAt` changes. */
export interface QueuedEvent {
  /** Ascends within a client among the events that were tracked: the order of `track()`; and among those that were adopted. */
  readonly sequence: number;
  /** The event as JSON. */
  readonly text: string;
  /** UTF-8 bytes of `text`. */
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

/** Events in a line: what the engine needs of an array. */
export interface Line {
  push(event: QueuedEvent): unknown;
  shift(): QueuedEvent | undefined;
  /** The first. */
  at(index: 0): QueuedEvent | undefined;
  /** All of them. */
  slice(): QueuedEvent[];
}

/**
 * First in, first out. The limits count what is *held*: events waiting here and events taken from here whose end is not yet known, so
 * that a collector that does not answer cannot make room.
 */
export interface Queue {
  /** Precondition: it fits. */
  push(event: QueuedEvent): void;
  /** The sequence number of the next event that is tracked. */
  next(): number;
  first(): QueuedEvent | undefined;
  shift(): QueuedEvent | undefined;
  fits(bytes: number): boolean;
  /** Makes room: the events have met their end. */
  release(events: readonly QueuedEvent[]): void;
  /** What waits here. */
  readonly waiting: Load;
  /** What counts against the limits. */
  readonly held: Load;
  list(): QueuedEvent[];
}

export function createQueue({ queueEventsMax, queueBytesMax }: QueueLimits, line: Line): Queue {
  const waiting = { events: 0, bytes: 0 };
  const held = { events: 0, bytes: 0 };
  let sequence = trackedFrom;

  return {
    waiting,
    held,
    push(event) {
      if (event.sequence === sequence) sequence++;
      line.push(event);
      add(waiting, event, 1);
      add(held, event, 1);
    },
    next: () => sequence,
    first: () => line.at(0),
    shift() {
      const event = line.shift();
      if (event) add(waiting, event, -1);
      return event;
    },
    fits: (bytes) => held.events < queueEventsMax && held.bytes + bytes <= queueBytesMax,
    release(events) {
      for (const event of events) add(held, event, -1);
    },
    list: () => line.slice(),
  };
}

function add(load: { events: number; bytes: number }, { bytes }: QueuedEvent, sign: 1 | -1): void {
  load.events += sign;
  load.bytes += sign * bytes;
}
