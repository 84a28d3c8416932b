import type { Refusal } from './outcome.ts';
import type { DroppedEvents, DropReason, SentEvent } from './wire/index.ts';

/** Why an event was lost. `rejected`: the collector refused it, or the request it was in, for good. */
export type LossReason = DropReason | 'rejected';

/** Events that will not arrive. */
export interface Loss extends Partial<Refusal> {
  readonly kind: 'lost';
  readonly reason: LossReason;
  readonly events: readonly SentEvent[];
}

/** An attempt that failed and will be made again in `waitMs`. Nothing is lost. Without a status there was no answer. */
export interface Delay extends Partial<Refusal> {
  readonly kind: 'delayed';
  readonly waitMs: number;
  /** Failures in a row. */
  readonly failures: number;
}

/** Events that should survive the program could not be saved: they are only in memory. Told once until it works again. */
export interface Unsaved {
  readonly kind: 'unsaved';
  readonly message: string;
}

export type Report = Loss | Delay | Unsaved;

/** Counts since the client was made: `queued = sent + duplicates + rejected + all dropped + still pending`. */
export interface Counters {
  /** Given to `track()`, or taken over from an earlier run. */
  readonly queued: number;
  /** Accepted by the collector. */
  readonly sent: number;
  /** The collector had them already: an earlier reply was lost. */
  readonly duplicates: number;
  /** Refused by the collector for good. */
  readonly rejected: number;
  /** Given up, by reason. */
  readonly dropped: DroppedEvents;
}

export interface Reporter {
  readonly counters: { -readonly [Name in keyof Counters]: Counters[Name] };
  /** Counts events that are lost and tells of them. */
  readonly lose: (
    reason: LossReason,
    events: readonly { readonly json: string }[],
    refusal?: Partial<Refusal>,
  ) => void;
  readonly tell: (report: Report) => void;
  /** What was dropped and is not on its way to the collector: the caller takes that over, or gives it back with `untell`. */
  readonly news: () => DroppedEvents | undefined;
  readonly untell: (dropped: DroppedEvents | undefined) => void;
}

/**
 * Tells the application what became of its events. What `onReport` throws is swallowed. A report that is caused while one is being told (a
 * callback that tracks into a full queue) comes later by a timer, so that it cannot recurse.
 */
export function createReporter(
  onReport: ((report: Report) => unknown) | undefined,
  after: (delayMs: number, run: () => void) => unknown,
): Reporter {
  let telling = false;
  let untold: DroppedEvents | undefined;
  const counters: Reporter['counters'] = { queued: 0, sent: 0, duplicates: 0, rejected: 0, dropped: {} };

  return {
    counters,
    lose,
    tell,
    news() {
      const news = untold;
      untold = undefined;
      return news;
    },
    untell(dropped) {
      untold = dropped ? addDropped(untold, dropped) : untold;
    },
  };

  function lose(
    reason: LossReason,
    events: readonly { readonly json: string }[],
    refusal?: Partial<Refusal>,
  ): void {
    const { length } = events;
    if (reason === 'rejected') counters.rejected += length;
    else {
      counters.dropped = addDropped(counters.dropped, { [reason]: length });
      untold = addDropped(untold, { [reason]: length });
    }
    if (onReport && length > 0) {
      tell({
        ...refusal,
        kind: 'lost',
        reason,
        events: events.map(({ json }) => JSON.parse(json) as SentEvent),
      });
    }
  }

  function tell(report: Report): void {
    if (telling) {
      after(0, () => tell(report));
      return;
    }
    telling = true;
    // Delivery goes on, whatever the application's callback throws or rejects with.
    (async () => onReport?.(report))().catch(() => {});
    telling = false;
  }
}

/** Both together. */
export function addDropped(some: DroppedEvents | undefined, more: DroppedEvents): DroppedEvents {
  const both: Partial<Record<string, number>> = { ...some };
  for (const reason in more) both[reason] = (both[reason] ?? 0) + (more[reason as DropReason] ?? 0);
  return both;
}
