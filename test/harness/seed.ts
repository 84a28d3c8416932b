import { randomInt } from 'node:crypto';

/** Where this file's chance begins. A failure comes back with `TIDEMARK_TEST_SEED=<the printed number>`. */
const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? randomInt(2 ** 31));
let printed = false;

/** Options for fast-check: so many tries, from the printed seed. */
export function runs(numRuns: number): { readonly numRuns: number; readonly seed: number } {
  return { numRuns, seed: printSeed() };
}

/** Chance from the printed seed; the same salt gives the same numbers. */
export interface Random {
  /** In [0, 1). */
  number(): number;
  /** In [0, count). */
  below(count: number): number;
  /** One of them. */
  oneOf<T>(choices: readonly [T, ...T[]]): T;
}

export function createRandom(salt = 0): Random {
  return randomFrom(printSeed() + salt * 0x9e3779b9);
}

/** Chance from any number; the same one gives the same chance. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  // Mulberry32.
  const number = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count: number): number => Math.floor(number() * count);
  return { number, below, oneOf: (choices) => choices[below(choices.length)] ?? choices[0] };
}

function printSeed(): number {
  if (!printed) console.log(`seed ${seed}`);
  printed = true;
  return seed;
}
