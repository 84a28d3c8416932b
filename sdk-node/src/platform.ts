import { randomFillSync } from 'node:crypto';
import type { Platform } from '@tidemark/core';
import type { EncodedBody } from './encode.ts';
import { packBatch } from './pack.ts';
import type { Transport } from './transport.ts';

/** Node's clocks, timers and chance. Timers do not keep the process alive: the exit hook sees to what is still queued. */
export function createPlatform(transport: Transport): Platform<EncodedBody> {
  return {
    ...createSenses(),
    full: packBatch,
    bytesOf: (text) => Buffer.byteLength(text),
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs).unref();
      return () => clearTimeout(timer);
    },
    ...transport,
  };
}

/** Clocks and chance alone. */
export function createSenses(): Pick<Platform, 'now' | 'monotonic' | 'random'> {
  return { now: () => Date.now(), monotonic: () => performance.now(), random: createRandom() };
}

/** 32 random bits at a time, fetched in bulk: one by one they cost a microsecond. */
function createRandom(): () => number {
  const words = new Uint32Array(256);
  let next = words.length;
  return () => {
    if (next === words.length) {
      randomFillSync(words);
      next = 0;
    }
    return (words[next++] ?? 0) / 2 ** 32;
  };
}
