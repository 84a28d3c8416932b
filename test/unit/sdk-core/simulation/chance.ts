/** Seeded chance (mulberry32): the same seed, the same world. */
export interface Chance {
  /** Evenly in [0, 1). */
  readonly next: () => number;
  between(low: number, high: number): number;
  integer(low: number, high: number): number;
  /** true with this probability. */
  happens(probability: number): boolean;
  pick<Choice>(choices: readonly Choice[]): Choice;
  /** Around 0 with standard deviation 1. */
  normal(): number;
}

export function createChance(seed: number): Chance {
  let state = seed >>> 0;
  const chance: Chance = {
    next() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    },
    between: (low, high) => low + (high - low) * chance.next(),
    integer: (low, high) => Math.floor(chance.between(low, high + 1)),
    happens: (probability) => chance.next() < probability,
    pick(choices) {
      const choice = choices[chance.integer(0, choices.length - 1)];
      if (choice === undefined) throw new Error('nothing to pick from');
      return choice;
    },
    normal: () => Math.sqrt(-2 * Math.log(1 - chance.next())) * Math.cos(2 * Math.PI * chance.next()),
  };
  return chance;
}
