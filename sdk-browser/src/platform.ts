import type { Platform } from '@tidemark/core';

/** Clocks and timers, which pages, workers and apps have alike. */
export const clocks: Pick<Platform, 'now' | 'monotonic' | 'after'> = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** 32 bits of cryptographic quality. */
export function randomOfCrypto(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32;
}
