import { retryAfterMs } from './backoff.ts';
import type { Reply } from './platform.ts';
import type { EventResult } from './wire/index.ts';

/** What a refusal says of itself: the status, and the problem's code and detail where there is one. */
export interface Refusal {
  readonly status: number;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
}

/** What an answer comes to. */
export type Outcome =
  /** Stored, but for what `results` say. */
  | { readonly results: readonly EventResult[]; readonly floorMs?: undefined; readonly refusal?: undefined }
  /** Not now: the same again, not before `floorMs`. */
  | { readonly results?: undefined; readonly floorMs: number; readonly refusal?: Refusal }
  /** It will never be taken; with 413 it is too large. */
  | { readonly results?: undefined; readonly floorMs?: undefined; readonly refusal: Refusal };

/**
 * 4xx that may pass: Unauthorized and Forbidden (a key can be put right, and nothing is given up for it), Request Timeout, Too Early, Too Many
 * Requests.
 */
const passing = new Set([401, 403, 408, 425, 429]);

/** A wrong key is asked about once a minute. */
const lockedMs = 60_000;

/**
 * Judges an answer; without one it is to be tried again, and likewise where its members cannot become texts or numbers (`{"code":{"toString":1}}`):
 * what threw here would end the loop. A 200 counts only with the collector's own body: hotel networks answer 200 to everything, and to take that for
 * an acknowledgement would lose the batch.
 */
export function judge(reply: Reply | undefined, nowMs: number): Outcome {
  try {
    // Without an answer this throws as well.
    const { status, body, retryAfter } = reply as Reply;
    const { results, code, detail, retryAfterMs: askedMs } = parseObject(body);
    if (status === 200 && Array.isArray(results) && results.every(Boolean)) return { results };
    const refusal = { status, code: textOf(code), message: textOf(detail) };
    if (status < 400 || status > 499 || passing.has(status)) {
      const floorMs = retryAfterMs(retryAfter, askedMs, nowMs);
      return { refusal, floorMs: status === 401 || status === 403 ? Math.max(floorMs, lockedMs) : floorMs };
    }
    return { refusal };
  } catch {
    return { floorMs: 0 };
  }
}

/** The members of a JSON object; none where the text is something else. */
export function parseObject(text: string): { readonly [name: string]: unknown } {
  try {
    return Object(JSON.parse(text)) as { readonly [name: string]: unknown };
  } catch {
    return {};
  }
}

/** Whatever a program without types passes, or an answer holds, becomes a text. */
export function textOf(value: unknown): string | undefined {
  if (value == null) return undefined;
  // oxlint-disable-next-line typescript/no-base-to-string
  return value instanceof Date ? value.toISOString() : String(value);
}
