/**
 * What can be wrong with a run.
 *
 * G1 `lost`; G2 `storedTwice`; G6 `skipped`, `repeated`, `outOfOrder`; G7 `disagreed`, `misplaced`, `belowWatermark`,
 * `watermarkWentBack`; G8 `wronglyLate`; G9 `stuck`; G11 `miscounted`, `changed`. `neverSent`, `altered` and `hidden`: the store made something up, or keeps
 * something from readers.
 */
export const kinds = [
  'lost',
  'storedTwice',
  'neverSent',
  'altered',
  'hidden',
  'skipped',
  'repeated',
  'outOfOrder',
  'disagreed',
  'misplaced',
  'belowWatermark',
  'watermarkWentBack',
  'wronglyLate',
  'stuck',
  'miscounted',
  'changed',
] as const;

export type Kind = (typeof kinds)[number];

export interface Finding {
  readonly kind: Kind;
  /** The harness' clock at the moment that shows it; undefined: only the end does. */
  readonly atMs: number | undefined;
  readonly detail: string;
}
