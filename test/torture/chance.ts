import { type Random, randomFrom } from '../harness/seed.ts';

/** Chance by the name of a part. */
export type Chance = (name: string) => Random;

/** Chance for each part of a run, all from one seed: how much of it one part uses changes nothing for the others. */
export function chanceOf(seed: number): Chance {
  return (name) => {
    let hash = seed >>> 0;
    for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
    return randomFrom(hash);
  };
}
