import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs, parseObject, type Platform, retryAfterMs } from '@tidemark/core';
import type { Problem } from '@tidemark/core/wire';
import type { Pool } from 'undici';
import { withDeadline } from './deadline.ts';
import { TidemarkError } from './errors.ts';

/** What requests need that read, or that say what was read. */
export interface AskParts {
  readonly pool: Pool;
  readonly prefix: string;
  readonly authorization: string;
  readonly platform: Pick<Platform, 'now' | 'random'>;
  /** Milliseconds one request may take beyond the wait it asks for. */
  readonly requestTimeoutMs: number;
  /** Told before each wait for another attempt: why the last one was none. Undefined: there was no whole answer. */
  readonly onDelay?: ((status: number | undefined) => void) | undefined;
}

export interface Ask {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  /** An object, or the text of one. */
  readonly body?: object | string;
  /** Seconds the collector may hold the answer back. */
  readonly waitSeconds?: number;
}

const backoff = { retryDelayMs: 200, retryDelayMsMax: 10_000 };

/**
 * Asks until there is an answer, over lost connections, restarts of the collector, 429 and 5xx. Undefined: the signal was aborted.
 *
 * @throws TidemarkError for an answer that waiting does not mend.
 */
export async function askPatiently<T>(
  parts: AskParts,
  ask: Ask,
  signal: AbortSignal,
  parse: (text: string) => T | undefined,
): Promise<T | undefined> {
  for (let failures = 1; !signal.aborted; failures++) {
    const answer = await askOnce(parts, ask, signal);
    const parsed = answer?.status === 200 ? parse(answer.body) : undefined;
    if (parsed !== undefined) return parsed;
    const problem: Partial<Problem> = answer ? parseObject(answer.body) : {};
    if (answer && isFinal(answer.status)) throw new TidemarkError(answer.status, problem);
    const floorMs = answer ? retryAfterMs(answer.retryAfter, problem.retryAfterMs, parts.platform.now()) : 0;
    parts.onDelay?.(answer?.status);
    await pause(Math.max(floorMs, backoffMs(failures, parts.platform.random, backoff)), signal);
  }
  return undefined;
}

/** Takes a JSON object that looks right for what is asked for: anything else is no answer of a collector's. */
export function wholeWhere<T extends object>(isWhole: (body: Partial<T>) => boolean) {
  return (text: string): T | undefined => {
    const body = parseObject(text) as Partial<T>;
    return isWhole(body) ? (body as T) : undefined;
  };
}

/** Ends early, and without an error, when the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal }).catch(() => {});
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly retryAfter: string | undefined;
}

/** undefined: no whole answer. */
async function askOnce(parts: AskParts, ask: Ask, signal: AbortSignal): Promise<Answer | undefined> {
  const { method = 'GET', path, body, waitSeconds = 0 } = ask;
  try {
    return await withDeadline(waitSeconds * 1_000 + parts.requestTimeoutMs, signal, async (limited) => {
      const answer = await parts.pool.request({
        method,
        path: parts.prefix + path,
        headers: {
          authorization: parts.authorization,
          accept: 'application/json',
          ...(body && { 'content-type': 'application/json' }),
        },
        body: typeof body === 'object' ? JSON.stringify(body) : (body ?? null),
        signal: limited,
      });
      const retryAfter = answer.headers['retry-after'];
      return {
        status: answer.statusCode,
        body: await answer.body.text(),
        retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
      };
    });
  } catch {
    return undefined;
  }
}

/** 4xx that waiting does not mend. */
function isFinal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
}
