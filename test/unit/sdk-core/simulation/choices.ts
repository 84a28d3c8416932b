import type { DeliveryOptions } from '@tidemark/core';
import type { Chance } from './chance.ts';
import { fairWeather, type Weather } from './network.ts';

const dayMs = 86_400_000;

/** Limits small enough to be met. */
export function chooseSettings(chance: Chance): DeliveryOptions {
  return {
    lingerMs: chance.pick([0, 50, 500, 2_000]),
    batchEventsMax: chance.pick([1, 3, 10, 50]),
    batchBytesMax: chance.pick([300, 2_000, 10_000]),
    queueEventsMax: chance.pick([5, 50, 1_000, 1_000, 1_000]),
    queueBytesMax: chance.pick([3_000, 10_000, 1_000_000, 1_000_000]),
    eventBytesMax: 2_000,
    whenFull: chance.pick(['dropNewest', 'dropOldest']),
    requestsInFlight: chance.pick([1, 1, 1, 3]),
    requestTimeoutMs: chance.pick([2_000, 10_000]),
    retryDelayMs: chance.pick([50, 500]),
    retryDelayMsMax: chance.pick([1_000, 30_000]),
    saveAfterMs: 1_000,
    triedLifeMs: 6 * dayMs,
    untriedLifeMs: 30 * dayMs,
  };
}

export function chooseWeather(chance: Chance): Weather {
  const some = (): number => (chance.happens(0.3) ? chance.between(0, 0.4) : 0);
  const storm = chance.pick(['fair', 'mixed', 'mixed', 'down', 'full']);
  const delayMs = chance.pick([5, 50, 500, 3_000]);
  if (storm === 'fair') return { ...fairWeather, delayMs };
  if (storm === 'down') return { ...fairWeather, delayMs, cutBefore: 1 };
  if (storm === 'full') return { ...fairWeather, delayMs, overloaded: 1 };
  return {
    cutBefore: some(),
    cutAfter: some(),
    hang: some(),
    overloaded: some(),
    unavailable: some(),
    malformed: some() / 10,
    locked: some() / 10,
    portal: some(),
    delayMs,
  };
}

/** How far a wall clock is set, forward or back. */
export function chooseStepMs(chance: Chance): number {
  return chance.pick([-3_600_000, -5_000, -1_500, -300, 300, 1_500, 5_000, 3_600_000, 40 * dayMs]);
}
