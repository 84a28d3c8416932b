import type { Store } from './keeper.ts';
import type { Batch } from './batch.ts';
import type { QueuedEvent } from './queue.ts';
import type { ClientClock, DroppedEvents } from './wire/index.ts';

/**
 * What the engine needs from where it runs. Time, timers, chance and the network enter here and nowhere else, so that a
 * simulation can stand in for all of them. `Body` is whatever `encode` makes and `send` takes.
 */
export interface Platform<Body = string> {
  /** The wall clock, in milliseconds since the Unix epoch. It may step. */
  readonly now: () => number;
  /** A clock that never steps, in milliseconds since any moment. It may stand still while the device sleeps. */
  readonly monotonic: () => number;
  /** Evenly distributed in [0, 1), with at least 32 random bits of cryptographic quality: ids are made of it. */
  readonly random: () => number;
  /** Runs once after `delayMs`; the function it returns cancels. Must not keep a process alive. */
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** Bytes of a text in UTF-8: `utf8Bytes`, or what is faster here. */
  readonly bytesOf: (text: string) => number;
  /**
   * Makes the request body `{"events":[…]}` of events that are JSON already, and compresses it where that pays.
   */
  readonly encode: (events: readonly string[]) => Body | Promise<Body>;
  /** Told of a batch that takes in no more, and how many there are: where the queue may grow long it can be packed. */
  readonly full?: (batch: Batch, batches: number) => void;
  /** Whether a request may begin beyond `requestsInFlight`: the program is about to end, and the answer to the last one may come too late. */
  readonly another?: () => boolean;
  /** Where events survive the program. Default: nowhere. */
  readonly store?: Store | undefined;
  /** Told of events that met their end, one way or the other: there is room again. */
  readonly ended?: (events: readonly QueuedEvent[]) => void;
  /** `POST /v1/events`. Settles within `requestTimeoutMs`; rejects when there was no whole answer. Starts at once: `sentAt` is now. */
  readonly send: (attempt: Attempt<Body>) => Promise<Reply>;
  /** `GET /v1/time`, in the same way. */
  readonly time: () => Promise<Reply>;
}

/** One try to send one batch. `sentAt`, `clock` and `dropped` belong in the query, so that the body stays the same on every try. */
export interface Attempt<Body = string> {
  readonly body: Body;
  readonly sentAt: string;
  readonly clock: ClientClock | undefined;
  /** Events given up before this batch was made, for the collector to count. The same on every try. */
  readonly dropped: DroppedEvents | undefined;
}

/** An HTTP answer, whatever its status. */
export interface Reply {
  readonly status: number;
  readonly body: string;
  /** The headers `Retry-After` and `Tidemark-Pressure`, where the answer has them. */
  readonly retryAfter?: string | null | undefined;
  readonly pressure?: string | null | undefined;
}
