import { earliestMicros, latestMicros, type TimeQuality, timeQualities } from '@tidemark/core/wire';

/** What is added to a client's times. All times and offsets here are microseconds. */
export interface Correction {
  /** Server clock minus client clock. */
  readonly offset: bigint;
  /** Where it comes from: the client measured it, or we guess it from `sentAt`, or there is none to make. */
  readonly kind: 'client' | 'soft' | 'none' | 'noSentAt';
}

export interface Stamp {
  readonly eventTime: bigint;
  /** The position in `timeQualities`. */
  readonly timeQuality: number;
}

/** A client's offset is as good as half its round trip: above this it is a guess. */
const rttMsMax = 10_000;
/** So much between `sentAt` and `receivedAt` may be the way, and not the clock. */
const transitMicros = 60_000_000n;
const futureMicros = 1_000_000n;
const staleMicros = 30n * 86_400_000_000n;
/** 2000-01-01T00:00:00Z. */
const implausibleBelow = 946_684_800_000_000n;

/**
 * How far a batch's clock is off. Without a measurement of the client's own, `receivedAt − sentAt` is skew and transit in one:
 * the first minute of it is taken for transit.
 */
export function clockOffset(batch: {
  readonly sentAt: bigint | undefined;
  readonly receivedAt: bigint;
  readonly clock: { readonly offsetMicros: bigint; readonly rttMs: number } | undefined;
}): Correction {
  const { sentAt, receivedAt, clock } = batch;
  if (clock !== undefined && clock.rttMs <= rttMsMax) return { offset: clock.offsetMicros, kind: 'client' };
  if (sentAt === undefined) return { offset: 0n, kind: 'noSentAt' };
  const apart = receivedAt - sentAt;
  if (apart > transitMicros) return { offset: apart - transitMicros, kind: 'soft' };
  if (apart < -transitMicros) return { offset: apart + transitMicros, kind: 'soft' };
  return { offset: 0n, kind: 'none' };
}

/** When an event happened by the server's clock, and how much that can be trusted. An event without a time happened when it came. */
export function stampEvent(
  occurredAt: bigint | undefined,
  correction: Correction,
  receivedAt: bigint,
): Stamp {
  if (occurredAt === undefined) return { eventTime: receivedAt, timeQuality: quality.unparsable };
  const corrected = occurredAt + correction.offset;
  return { eventTime: inYears(corrected), timeQuality: qualityOf(corrected, correction, receivedAt) };
}

function qualityOf(corrected: bigint, correction: Correction, receivedAt: bigint): number {
  if (corrected - receivedAt > futureMicros) return quality.future;
  if (corrected < implausibleBelow || receivedAt - corrected > staleMicros) return quality.implausible;
  return qualityOfKind[correction.kind];
}

/** Only the years 1–9999 can be written down. */
function inYears(micros: bigint): bigint {
  if (micros < earliestMicros) return earliestMicros;
  return micros > latestMicros ? latestMicros : micros;
}

const quality = Object.fromEntries(timeQualities.map((name, position) => [name, position])) as Record<
  TimeQuality,
  number
>;

const qualityOfKind: Record<Correction['kind'], number> = {
  client: quality.offset,
  soft: quality.soft,
  noSentAt: quality.noSentAt,
  none: quality.ok,
};
