import type { Clock } from '../clock.ts';

/** Whose quota, and how much it is. */
export interface QuotaHolder {
  readonly keyId: string;
  /** null: no limit. */
  readonly eventsPerSecond: number | null;
  /** Bytes of bodies on the wire. null: no limit. */
  readonly bytesPerSecond: number | null;
}

export interface OverQuota {
  readonly detail: string;
  /** When there will be something in the bucket again, spread at random; at most a minute. */
  readonly retryAfterMs: number;
}

/**
 * What each key may send to this collector. A bucket fills by a second's quota a second, and holds no more than that. While there is
 * anything in it, it lets a batch pass, of whatever size, and goes into debt for the rest: so a batch larger than the quota
 * is not refused for ever, and over time nobody gets more than the quota.
 */
export interface Quotas {
  /** Undefined: the key may send. Otherwise one of its buckets is empty: of both, or that of events. */
  refusal(holder: QuotaHolder, of: 'both' | 'events'): OverQuota | undefined;
  takeBytes(holder: QuotaHolder, bytes: number): void;
  takeEvents(holder: QuotaHolder, events: number): void;
}

/** Keys that are remembered. One that is forgotten starts with full buckets, so the longest unused goes first. */
const keysMax = 10_000;
const retryAfterMsMin = 1_000;
const retryAfterMsMax = 60_000;

interface Bucket {
  level: number;
  atMs: number;
}

interface Buckets {
  readonly events: Bucket | undefined;
  readonly bytes: Bucket | undefined;
}

export function createQuotas({ monotonicMs, random }: Pick<Clock, 'monotonicMs' | 'random'>): Quotas {
  const ofKeys = new Map<string, Buckets>();

  /** Undefined: the key has no quota. */
  function bucketsOf({ keyId, eventsPerSecond, bytesPerSecond }: QuotaHolder): Buckets | undefined {
    if (eventsPerSecond === null && bytesPerSecond === null) return undefined;
    const atMs = monotonicMs();
    const full = (level: number | null) => (level === null ? undefined : { level, atMs });
    const buckets = ofKeys.get(keyId) ?? { events: full(eventsPerSecond), bytes: full(bytesPerSecond) };
    ofKeys.delete(keyId);
    ofKeys.set(keyId, buckets);
    if (ofKeys.size > keysMax) {
      const [longestUnused] = ofKeys.keys();
      if (longestUnused !== undefined) ofKeys.delete(longestUnused);
    }
    return buckets;
  }

  function fill(bucket: Bucket, perSecond: number): number {
    const nowMs = monotonicMs();
    bucket.level = Math.min(perSecond, bucket.level + ((nowMs - bucket.atMs) / 1_000) * perSecond);
    bucket.atMs = nowMs;
    return bucket.level;
  }

  function over(bucket: Bucket | undefined, perSecond: number | null, what: string): OverQuota | undefined {
    if (bucket === undefined || perSecond === null) return undefined;
    const level = fill(bucket, perSecond);
    if (level > 0) return undefined;
    const waitMs = Math.max(retryAfterMsMin, (-level / perSecond) * 1_000);
    return {
      detail: `the key may send ${perSecond} ${what} a second`,
      retryAfterMs: Math.ceil(Math.min(retryAfterMsMax, waitMs * (1 + random() / 2))),
    };
  }

  function take(bucket: Bucket | undefined, perSecond: number | null, amount: number): void {
    if (bucket === undefined || perSecond === null) return;
    fill(bucket, perSecond);
    bucket.level -= amount;
  }

  return {
    refusal(holder, of) {
      const buckets = bucketsOf(holder);
      const events = over(buckets?.events, holder.eventsPerSecond, 'events');
      if (events !== undefined || of === 'events') return events;
      return over(buckets?.bytes, holder.bytesPerSecond, 'bytes');
    },
    takeBytes: (holder, bytes) => take(bucketsOf(holder)?.bytes, holder.bytesPerSecond, bytes),
    takeEvents: (holder, events) => take(bucketsOf(holder)?.events, holder.eventsPerSecond, events),
  };
}
