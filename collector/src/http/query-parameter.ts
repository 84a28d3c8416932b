import { parseTime, readLimits } from '@tidemark/core/wire';
import { createProblem, ProblemError } from '../errors.ts';
import type { Start } from '../read/page.ts';

export type Query = Readonly<Record<string, string>>;

/** Throws `invalid_parameter` where there is a parameter that is none of these. */
export function refuseUnknown(query: Query, known: ReadonlySet<string>): void {
  const unknown = Object.keys(query).find((name) => !known.has(name));
  if (unknown !== undefined) throw invalid(unknown, `is not a parameter here: use ${[...known].join(', ')}`);
}

/** A whole number from `min`, which is 1 if left out, or its default. Throws `invalid_parameter`. */
export function readWhole(
  name: string,
  text: string | undefined,
  {
    min = 1,
    max,
    default: fallback,
  }: { readonly min?: number; readonly max: number; readonly default: number },
): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw invalid(name, `is ${shown(text)}: it must be a whole number from ${min} to ${max}`);
}

/** How long to wait for what is not there yet, seconds. */
export function readWait(query: Query): number {
  return readWhole('wait', query['wait'], { min: 0, ...readLimits.waitSeconds });
}

/** `cursor` or `from`. Throws `invalid_cursor` with what a cursor is here where it cannot be decoded, and else `invalid_parameter`. */
export function readStartWith<Place>(
  { cursor: text, from }: Query,
  decode: (text: string) => Place | undefined,
  isNone: string,
): Start<Place> {
  if (text !== undefined) {
    if (from !== undefined) throw invalid('from', 'cannot stand beside cursor: give exactly one of them');
    const cursor = decode(text);
    if (cursor !== undefined) return { at: 'cursor', cursor };
    throw new ProblemError(createProblem('invalid_cursor', `cursor=${shown(text)} ${isNone}`));
  }
  if (from === undefined || from === 'earliest') return { at: 'earliest' };
  if (from === 'latest') return { at: 'latest' };
  const orderTime = parseTime(from);
  if (orderTime !== undefined) return { at: 'time', orderTime };
  throw invalid('from', `is ${shown(from)}: it must be earliest, latest or an RFC 3339 time`);
}

export function invalid(name: string, text: string): ProblemError {
  return new ProblemError(createProblem('invalid_parameter', `${name} ${text}`));
}

/** Of what was given, as much as belongs into a message. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
