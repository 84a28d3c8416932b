import { parseObject } from './outcome.ts';
import type { Platform, Reply } from './platform.ts';
import type { ClientClock } from './wire/index.ts';

/**
 * What this device's clock is worth.
 *
 * Offset: a reply says when the server received the request and when it responded. As in NTP (RFC 5905, section 8), with our own two
 * times this gives offset and round trip; of the last 8 samples that with the smallest round trip counts, since it leaves least room for
 * error. A reply that is no better than that is a sample only every 30 s: else a busy minute would push out all that is worth keeping.
 *
 * Steps: the wall clock is watched against the monotonic one. A step of more than 2 s either way makes the samples worthless.
 *
 * Elapsed time: monotonic time, and the sleep that it did not notice. A step forward is either sleep or a clock put right; the next sample tells which,
 * because sleep leaves the offset as it was.
 */
export interface Clock {
  /** The wall clock, in milliseconds. Looks for steps: call it often. */
  now(): number;
  /** Milliseconds that never go back, sleep included as far as it is known. */
  elapsed(): number;
  /** The best sample, or undefined. */
  readonly best: () => ClientClock | undefined;
  /** Takes a sample from not long ago, of an earlier page say. */
  readonly learn: (sample: ClientClock) => unknown;
  /** The server's wall clock as far as it is known, in milliseconds. */
  serverMs(): number;
  /** Makes a request that is sent at this moment, and takes a sample from its answer. Rejects as the request does. */
  measure(request: (sentAt: string) => Promise<Reply>): Promise<Reply>;
  /**
   * When an event of `queuedAt` (elapsed) happened, by the wall clock as it is now; undefined where the clock was not set back since and
   * the event's own stamp holds.
   */
  restated(queuedAt: number): number | undefined;
}

const samplesMax = 8;
const samplePauseMs = 30_000;
const stepMsMax = 2_000;
const backwardStepMsMax = 1_000;

export function createClock(platform: Pick<Platform<unknown>, 'now' | 'monotonic'>): Clock {
  let samples: ClientClock[] = [];
  let lead = platform.now() - platform.monotonic();
  let sampledAt = 0;
  let asleepMs = 0;
  let setBackAt = -Infinity;
  /** What the offset is now if the steps since the last sample were steps, and none of them a sleep. NaN: it was not known before. */
  let expectedMs: number | undefined;

  return {
    now,
    elapsed,
    best,
    learn: (sample) => samples.push(sample),
    serverMs: () => now() + (best()?.offsetMs ?? 0),
    measure,
    restated: (queuedAt) => (queuedAt < setBackAt ? now() - elapsed() + queuedAt : undefined),
  };

  function now(): number {
    const nowMs = platform.now();
    const step = nowMs - platform.monotonic() - lead;
    lead += step;
    if (step < -backwardStepMsMax) setBackAt = elapsed();
    if (Math.abs(step) > stepMsMax) {
      expectedMs = (expectedMs ?? best()?.offsetMs ?? NaN) - step;
      samples = [];
    }
    return nowMs;
  }

  function elapsed(): number {
    // Whole: V8 keeps small integers in place, and a fraction of each queued event apart from it.
    return Math.round(platform.monotonic() + asleepMs);
  }

  function best(): ClientClock | undefined {
    return [...samples].sort((a, b) => a.rttMs - b.rttMs)[0];
  }

  async function measure(request: (sentAt: string) => Promise<Reply>): Promise<Reply> {
    const sentAtMs = now();
    const startedAt = platform.monotonic();
    const before = samples;
    const reply = await request(new Date(sentAtMs).toISOString());
    const tookMs = platform.monotonic() - startedAt;
    now();
    const { receivedAt, respondedAt } = parseObject(reply.body);
    const receivedMs = Date.parse(receivedAt as string) - sentAtMs;
    const respondedMs = Date.parse(respondedAt as string) - sentAtMs;
    const offsetMs = Math.round((receivedMs + respondedMs - tookMs) / 2);
    const rttMs = Math.max(0, Math.round(tookMs - respondedMs + receivedMs));
    const known = best();
    const isBetter = !known || rttMs < known.rttMs || startedAt >= sampledAt + samplePauseMs;
    // Samples of another array: the clock stepped on the way.
    if (samples === before && offsetMs < Infinity && isBetter) {
      sampledAt = startedAt;
      samples.push({ offsetMs, rttMs });
      if (samples.length > samplesMax) samples.shift();
      const sleptMs = offsetMs - (expectedMs ?? NaN);
      // Less than a step is the samples' error.
      if (sleptMs > stepMsMax) asleepMs += sleptMs;
      expectedMs = undefined;
    }
    return reply;
  }
}
