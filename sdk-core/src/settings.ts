import type { BackoffOptions } from './backoff.ts';
import type { BatchLimits } from './batch.ts';
import type { QueueLimits } from './queue.ts';
import type { Report } from './report.ts';

/** How the engine delivers. Every number has a default (`deliveryDefaults`). */
export interface DeliveryOptions extends BatchLimits, QueueLimits, BackoffOptions {
  /** Milliseconds an event may wait for others to share its request. Grows up to eightfold when the collector is under pressure. */
  readonly lingerMs: number;
  /** UTF-8 bytes of one event; a larger one is dropped as `too_large`. */
  readonly eventBytesMax: number;
  /** When the queue is full: the new event is dropped, or the oldest that wait make room. */
  readonly whenFull: 'dropNewest' | 'dropOldest';
  /** Requests that may be under way at once. With one, events arrive in the order they were tracked. */
  readonly requestsInFlight: number;
  /** Milliseconds one request may take. */
  readonly requestTimeoutMs: number;
  /** Milliseconds after its first attempt in which an event may be sent again: less than the collector's dedupe window. */
  readonly triedLifeMs: number;
  /** Milliseconds an event may be unacknowledged before it is stored as well, where there is a store. */
  readonly saveAfterMs: number;
  /** Milliseconds an event that was never sent may wait. */
  readonly untriedLifeMs: number;
  /** Told of every loss and every failed attempt. What it throws is swallowed. */
  readonly onReport?: ((report: Report) => unknown) | undefined;
}

const dayMs = 86_400_000;

export const deliveryDefaults: DeliveryOptions = {
  lingerMs: 500,
  batchEventsMax: 500,
  // One batch fits the 64 KiB that a browser sends for pages that are gone.
  batchBytesMax: 49_000,
  queueEventsMax: 10_000,
  queueBytesMax: 4_194_304,
  eventBytesMax: 65_536,
  whenFull: 'dropNewest',
  requestsInFlight: 1,
  requestTimeoutMs: 10_000,
  retryDelayMs: 500,
  retryDelayMsMax: 30_000,
  saveAfterMs: 1_000,
  triedLifeMs: 6 * dayMs,
  untriedLifeMs: 30 * dayMs,
};
