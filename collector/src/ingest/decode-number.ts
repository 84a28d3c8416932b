import { byte } from './decode-bytes.ts';
import { BrokenJson, type Scan } from './decode-scan.ts';

/** Numbers shorter than this and without exponent fit everywhere. */
const suspectLength = 1_000;

export function passNumber(scan: Scan, start: number): number {
  const { bytes, end } = scan;
  const first = bytes[start] === byte.minus ? start + 1 : start;
  let at = passDigits(scan, first);
  if (bytes[first] === byte.zero && at > first + 1)
    throw new BrokenJson(first + 1, 'no digit behind a leading 0');
  if (at < end && bytes[at] === byte.dot) at = passDigits(scan, at + 1);
  let suspect = at - start > suspectLength;
  if (at < end && (bytes[at] === byte.lowerE || bytes[at] === byte.upperE)) {
    suspect = true;
    const signed = at + 1 < end && (bytes[at + 1] === byte.plus || bytes[at + 1] === byte.minus);
    at = passDigits(scan, signed ? at + 2 : at + 1);
  }
  if (suspect && !numericHolds(bytes, start, at)) scan.unfit ??= 'number';
  return at;
}

function passDigits(scan: Scan, start: number): number {
  const { bytes, end } = scan;
  let at = start;
  while (at < end && (bytes[at] as number) >= byte.zero && (bytes[at] as number) <= byte.nine) at++;
  if (at === start) throw new BrokenJson(at, 'a digit');
  return at;
}

/** What Postgres `numeric` can hold: digits before the point, digits behind it, and its parser's own bound of an exponent. */
const digitsBeforeMax = 131_072;
const digitsBehindMax = 16_383;
const exponentMax = 1_073_741_822;

/**
 * Whether Postgres can take the JSON number in bytes [start, end) as `numeric`, to which `jsonb` and every sum over props
 * convert it. As there, zeros count behind the point and do not count before it: `0e-16384` is refused, `0e999999` is held.
 */
export function numericHolds(bytes: Uint8Array, start: number, end: number): boolean {
  let digitsBefore = 0;
  let digitsBehind = 0;
  let zerosInFront = 0;
  let zero = true;
  let behind = false;
  let at = start;
  for (; at < end; at++) {
    const next = bytes[at];
    if (next === byte.lowerE || next === byte.upperE) break;
    if (next === byte.dot) behind = true;
    else if (next !== byte.minus) {
      if (behind) digitsBehind++;
      else digitsBefore++;
      if (zero && next === byte.zero) zerosInFront++;
      else zero = false;
    }
  }
  const exponent = exponentAt(bytes, at + 1, end);
  if (Math.abs(exponent) > exponentMax) return false;
  if (digitsBehind - exponent > digitsBehindMax) return false;
  return zero || digitsBefore - zerosInFront + exponent <= digitsBeforeMax;
}

/** The exponent in bytes [start, end), 0 where there is none; infinite beyond every bound. */
function exponentAt(bytes: Uint8Array, start: number, end: number): number {
  let exponent = 0;
  let sign = 1;
  for (let at = start; at < end; at++) {
    const next = bytes[at] as number;
    if (next === byte.minus) sign = -1;
    else if (next !== byte.plus) exponent = exponent * 10 + (next - byte.zero);
  }
  return sign * exponent;
}
