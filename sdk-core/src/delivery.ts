import { type Clock, createClock } from './clock.ts';
import { createKeeper, type Keeper, type KeptEvent } from './keeper.ts';
import type { Platform } from './platform.ts';
import { createQueue, type Load, type QueuedEvent } from './queue.ts';
import { type Counters, createReporter, type LossReason, type Report } from './report.ts';
import { createSender, type FlushResult, type Sender } from './sender.ts';
import { createSerialiser, type TrackOptions } from './serialise.ts';
import type { DeliveryOptions } from './settings.ts';

/** The engine: takes events at any rate, and sees to it that each meets exactly one end. */
export interface Delivery {
  /** Queues an event, or loses it and reports that. Never throws. */
  track(name: string, props?: object, options?: TrackOptions): void;
  /**
   * Queues events that an earlier run kept, as many as fit, the oldest first; returns these under their new sequence numbers, for the caller to
   * see that the store has them so. None of them meets its end before this returns.
   */
  adopt(events: readonly KeptEvent[]): KeptEvent[];
  /**
   * Sends what is queued without linger (but never before a `Retry-After` is over), and resolves when all of it has met its end or
   * `timeoutMs` has passed. Never rejects.
   */
  flush(timeoutMs: number): Promise<FlushResult>;
  /** From now on `track` loses what it is given, as `closed`. What is queued is still sent, without linger. */
  readonly close: () => void;
  /** Gives up what has not met its end, and hands it over, the oldest first: the caller keeps it or loses it. Answers that still come are ignored. */
  readonly stop: () => QueuedEvent[];
  /** Counts events as lost and tells of them. For what `stop` handed over. */
  lose(reason: LossReason, events: readonly QueuedEvent[]): void;
  /** Tells the application, where it listens. */
  tell(report: Report): void;
  /** Events that have not met their end, the oldest first. */
  pending(): QueuedEvent[];
  /** Stores all that has not met its end. */
  readonly saveAll: Keeper['keep'];
  /** See Keeper. */
  readonly saveNow: Keeper['saveNow'];
  /** How much that is: what the queue's limits are held against. */
  readonly held: Load;
  readonly counters: Counters;
  /** What is known of this device's clock. */
  readonly sample: Clock['best'];
  /** See Clock. */
  readonly learn: Clock['learn'];
}

export function createDelivery<Body>(platform: Platform<Body>, settings: DeliveryOptions): Delivery {
  const queue = createQueue(settings, platform.full);
  const clock = createClock(platform);
  const serialise = createSerialiser(platform.random);
  const reporter = createReporter(settings.onReport, platform.after);
  const { lose, tell, counters } = reporter;
  const keeper = createKeeper(platform, settings.saveAfterMs, clock, queue, tell);
  const sender: Sender = createSender(platform, settings, queue, clock, reporter, keeper);
  const { flush, close, isClosed, stop } = sender;
  let adoptions = 0;

  return {
    track,
    adopt,
    flush,
    close,
    stop,
    lose,
    tell,
    pending: () => queue.list(),
    saveAll: keeper.keep,
    saveNow: keeper.saveNow,
    held: queue.held,
    counters,
    sample: clock.best,
    learn: clock.learn,
  };

  function track(name: string, props?: object, trackOptions: TrackOptions = {}): void {
    const now = clock.now();
    counters.queued++;
    let json: string;
    let reason: LossReason | undefined;
    let message: string | undefined;
    try {
      json = serialise(now, name, props, trackOptions);
    } catch (error) {
      json = JSON.stringify({ name: typeof name === 'string' ? name : '' });
      reason = 'invalid';
      message = (error as Partial<Error> | null)?.message;
    }
    const bytes = platform.bytesOf(json);
    if (isClosed()) reason ??= 'closed';
    if (bytes > settings.eventBytesMax) reason ??= 'too_large';
    while (!reason && !queue.fits(bytes)) {
      const oldest = settings.whenFull === 'dropOldest' && queue.shift();
      if (oldest) sender.lose('queue_full', [oldest]);
      else reason = 'queue_full';
    }
    if (reason) return lose(reason, [{ json }], { message });
    // The first event sets the timer; from there to a full batch there is nothing to decide.
    const isFirstOrLast = queue.push({
      sequence: queue.number(),
      json,
      bytes,
      queuedAt: clock.elapsed(),
      stamped: trackOptions.occurredAt == null,
      triedAt: undefined,
    });
    if (isFirstOrLast) sender.pump();
    keeper.arm();
  }

  function adopt(events: readonly KeptEvent[]): KeptEvent[] {
    const now = clock.elapsed();
    const offsetMs = now - clock.serverMs();
    // A clock that was set back in between must not make ages negative.
    const elapsedAt = (serverMs: number): number => Math.min(now, serverMs + offsetMs);
    const adopted: KeptEvent[] = [];
    for (const [, ...kept] of events) {
      const [json, queuedAtMs, triedAtMs] = kept;
      const bytes = platform.bytesOf(json);
      if (isClosed() || !queue.fits(bytes)) break;
      counters.queued++;
      adopted.push([adoptions, ...kept]);
      queue.push({
        sequence: adoptions++,
        json,
        bytes,
        queuedAt: elapsedAt(queuedAtMs),
        stamped: false,
        triedAt: triedAtMs && elapsedAt(triedAtMs),
      });
    }
    platform.after(0, sender.pump);
    return adopted;
  }
}
