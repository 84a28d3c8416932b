export interface BackoffOptions {
  /** Milliseconds that the first wait may take at most; doubles with each failure in a row. */
  readonly retryDelayMs: number;
  /** Milliseconds that a wait may take at most, however many failures. */
  readonly retryDelayMsMax: number;
}

/**
 * Full jitter: evenly between nothing and a bound that doubles, so that clients which failed together do not come back together.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs(failures: number, random: () => number, options: BackoffOptions): number {
  return random() * Math.min(options.retryDelayMsMax, options.retryDelayMs * 2 ** (failures - 1));
}

/** A day: a longer demand is a mistake of something in between. */
const retryAfterMsMax = 86_400_000;

/**
 * The milliseconds a server asks us to stay away: the larger of the `Retry-After` header (seconds or an HTTP date) and `retryAfterMs` in
 * the body; 0 where it asks for none.
 */
export function retryAfterMs(header: string | null | undefined, inBody: unknown, nowMs: number): number {
  const inHeader = Number(header) * 1_000 || Date.parse(String(header)) - nowMs;
  return Math.min(retryAfterMsMax, Math.max(0, inHeader || 0, Number(inBody) || 0));
}

/** By how much the linger grows: 1 up to a pressure of 0.5, from there evenly to 8 at a pressure of 1. */
export function lingerStretch(pressure: number): number {
  return Math.min(8, Math.max(1, pressure * 14 - 6)) || 1;
}
