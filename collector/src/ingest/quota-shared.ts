import type { QuotaHolder, Quotas } from './quota.ts';

/** What was taken from the buckets of a key. */
export interface Taken {
  readonly holder: QuotaHolder;
  readonly events: number;
  readonly bytes: number;
}

/** Quotas of which other processes know what is taken. */
export interface SharedQuotas extends Quotas {
  /** Takes what others took. */
  note(taken: readonly Taken[]): void;
  /** Tells nothing more. */
  stop(): void;
}

export interface Sharing {
  /** Tells the others. */
  readonly tell: (taken: readonly Taken[]) => void;
  readonly every: (ms: number, task: () => void) => () => void;
}

const tellEveryMs = 100;
/** Of a second's quota: so much is told at once. */
const tellAtOnceShare = 0.1;

/**
 * Lets several processes keep one quota together: each has buckets of its own for the whole of it, and takes from them what the others took, too, a
 * tenth of a second later at most. As buckets go into debt, what passed too much meanwhile is paid back: over time nobody gets more
 * than the quota, and a sender with a single connection, which always meets the same process, gets all of it.
 */
export function createSharedQuotas(quotas: Quotas, { tell, every }: Sharing): SharedQuotas {
  let untold = new Map<string, { holder: QuotaHolder; events: number; bytes: number }>();

  function tellAll(): void {
    if (untold.size === 0) return;
    tell([...untold.values()]);
    untold = new Map();
  }

  function count(holder: QuotaHolder, events: number, bytes: number): void {
    if (holder.eventsPerSecond === null && holder.bytesPerSecond === null) return;
    const own = untold.get(holder.keyId) ?? { holder: quotaOf(holder), events: 0, bytes: 0 };
    own.events += events;
    own.bytes += bytes;
    untold.set(holder.keyId, own);
    if (isMuch(own.events, holder.eventsPerSecond) || isMuch(own.bytes, holder.bytesPerSecond)) tellAll();
  }

  return {
    stop: every(tellEveryMs, tellAll),
    refusal: (holder, of) => quotas.refusal(holder, of),
    takeEvents(holder, events) {
      quotas.takeEvents(holder, events);
      count(holder, events, 0);
    },
    takeBytes(holder, bytes) {
      quotas.takeBytes(holder, bytes);
      count(holder, 0, bytes);
    },
    note(taken) {
      for (const { holder, events, bytes } of taken) {
        quotas.takeEvents(holder, events);
        quotas.takeBytes(holder, bytes);
      }
    },
  };
}

const isMuch = (amount: number, perSecond: number | null): boolean =>
  perSecond !== null && amount >= perSecond * tellAtOnceShare;

/** Without all else that a key has. */
const quotaOf = ({ keyId, eventsPerSecond, bytesPerSecond }: QuotaHolder): QuotaHolder => ({
  keyId,
  eventsPerSecond,
  bytesPerSecond,
});
