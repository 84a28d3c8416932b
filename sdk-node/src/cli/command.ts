import type { Readable } from 'node:stream';
import type { ParseArgsConfig } from 'node:util';
import type { Output } from './output.ts';

/** The world of a command. */
export interface Surroundings {
  readonly stdin: Readable;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborted by a signal, and when nobody reads the output any more. */
  readonly stop: AbortSignal;
}

export type Values = Readonly<Record<string, string | boolean | undefined>>;

export interface Invocation extends Surroundings {
  readonly positionals: readonly string[];
  readonly values: Values;
}

/** A command of the command line: `tidemark <name>`. */
export interface Command {
  readonly summary: string;
  /** What follows `tidemark <name>`. */
  readonly usage: string;
  /** Lines of help, options and examples. */
  readonly help: string;
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** Resolves to the exit code. Throws UsageError for what is wrong with its arguments. */
  run(invocation: Invocation): Promise<number>;
}

/** What the command line cannot mean: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const exitCodes = { done: 0, failed: 1, usage: 2, someBad: 3 } as const;

export const text = { type: 'string' } as const;
export const flag = { type: 'boolean' } as const;

export function textOf(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

export function wholeOf(values: Values, name: string, min: number, max: number): number | undefined {
  const value = textOf(values, name);
  if (value === undefined) return undefined;
  const number = /^\d{1,12}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= min && number <= max))
    throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, not ${value}`);
  return number;
}

export function oneOf<T extends string>(values: Values, name: string, choices: readonly T[]): T | undefined {
  const value = textOf(values, name);
  if (value === undefined) return undefined;
  const found = choices.find((choice) => choice === value);
  if (found === undefined)
    throw new UsageError(`--${name} must be one of ${choices.join(', ')}, not ${value}`);
  return found;
}

/** Exactly these, by name, and `rest` more at most. */
export function positionalsOf(
  { positionals }: Pick<Invocation, 'positionals'>,
  names: readonly string[],
  rest = 0,
): readonly string[] {
  const missing = names[positionals.length];
  if (missing !== undefined) throw new UsageError(`<${missing}> is missing`);
  const extra = positionals[names.length + rest];
  if (extra !== undefined) throw new UsageError(`${JSON.stringify(extra)} is one argument too many`);
  return positionals;
}
