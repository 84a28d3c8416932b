import type { Bench } from './bench.ts';

/**
 * A figure of the targets, or a group of limits: cases that are measured in turn, so that whatever else the machine does meets all of
 * them alike, and what is said of them.
 */
export interface Figure {
  /** `P1`, as it is asked for by `--only`. */
  readonly name: string;
  readonly title: string;
  /** Starts what the cases need. */
  prepare(bench: Bench): Promise<PreparedFigure>;
}

export interface PreparedFigure {
  readonly cases: readonly Case[];
  /** What cannot be measured again and again: each once, after the rounds. */
  readonly once?: readonly Case[];
  readonly ratios?: readonly Ratio[];
  readonly bounds?: readonly Bound[];
  /** What a reader of the table should know. */
  readonly notes?: readonly string[];
  close(): Promise<void>;
}

export interface Case {
  readonly name: string;
  /** One round. Rejects when what was measured did not do its work. */
  measure(): Promise<Measurement>;
}

/** Values by name and unit, such as `events/s`; the first is what ratios compare. */
export type Measurement = Readonly<Record<string, number>>;

/** The first value of one case by that of another, taken round by round. */
export interface Ratio {
  readonly of: string;
  readonly to: string;
  readonly atLeast?: number;
  /** Compares this value instead of the first. */
  readonly value?: string;
  readonly atMost?: number;
}

/** What a value of a case should not be above. */
export interface Bound {
  readonly case: string;
  readonly value: string;
  readonly atMost: number;
}

/** The values of all rounds, by case and name. */
export type Rounds = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

/** Measures all cases in each round, every other round backwards. */
export async function measureRounds(
  cases: readonly Case[],
  rounds: number,
  onRound: (round: number) => void,
): Promise<Rounds> {
  const results = new Map<string, Map<string, number[]>>(cases.map(({ name }) => [name, new Map()]));
  for (let round = 0; round < rounds; round += 1) {
    onRound(round);
    for (const one of round % 2 === 0 ? cases : cases.toReversed()) {
      for (const [value, number] of Object.entries(await one.measure())) {
        const values = results.get(one.name);
        values?.set(value, [...(values.get(value) ?? []), number]);
      }
    }
  }
  return results;
}
