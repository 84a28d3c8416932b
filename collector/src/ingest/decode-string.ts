import { byte } from './decode-bytes.ts';
import { BrokenJson, type Scan } from './decode-scan.ts';

/** From one quote to behind the other. */
export function passString(scan: Scan, start: number): number {
  const { bytes, end } = scan;
  let at = start + 1;
  scan.escaped = false;
  for (;;) {
    at = passPlain(scan.view, at, end);
    while (at < end && inString[bytes[at] as number] === 0) at++;
    if (at >= end) throw new BrokenJson(end, 'the end of a string');
    const next = bytes[at] as number;
    if (next === byte.quote) return at + 1;
    if (next === byte.backslash) {
      scan.escaped = true;
      at = passEscape(scan, at);
    } else if (next >= 0x80) {
      // Of a character's bytes the first stands for a unit, of four bytes two do.
      if (next < 0xc0) scan.excess++;
      else if (next >= 0xf0) scan.excess--;
      at++;
    } else throw new BrokenJson(at, 'an escape instead of a control character');
  }
}

/** What a byte is inside a string: 0 plain, 1 the quote, 2 a backslash, 3 not allowed, 4 not ASCII. */
const inString = new Uint8Array(256).fill(4, 0x80).fill(3, 0, 0x20);
inString[byte.quote] = 1;
inString[byte.backslash] = 2;

/**
 * Passes over bytes of a string that need no look, in steps of four while none of the four is above 0x7f, below 0x20, a quote or a
 * backslash. `x - 0x01010101` sets the high bit of a byte of x that is 0, and leaves it set in one of the two sums for a byte above
 * 0x7f; a borrow sets others only above one that was found. Events of 2 kB take a third less time for it.
 */
function passPlain(view: DataView, start: number, end: number): number {
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const four = view.getInt32(at, true);
    const quotes = (four ^ 0x22222222) - 0x01010101;
    const backslashes = (four ^ 0x5c5c5c5c) - 0x01010101;
    if ((quotes | backslashes | (four - 0x20202020)) & 0x80808080) break;
  }
  return at;
}

/** What may stand behind a backslash and is an escape by itself. */
const plainEscapes = new Uint8Array(256);
for (const letter of '"\\/bfnrt') plainEscapes[letter.charCodeAt(0)] = 1;

/** An escape, or two that are a pair of surrogates. */
function passEscape(scan: Scan, at: number): number {
  if (at + 1 < scan.end && plainEscapes[scan.bytes[at + 1] as number] === 1) return at + 2;
  const unit = escapedUnit(scan, at);
  if (unit < 0) throw new BrokenJson(at, 'an escape of JSON');
  if (unit === 0) scan.unfit ??= 'nul';
  if (unit < 0xd800 || unit > 0xdfff) return at + 6;
  const second = unit < 0xdc00 ? escapedUnit(scan, at + 6) : -1;
  if (second >= 0xdc00 && second <= 0xdfff) return at + 12;
  scan.unfit ??= 'surrogate';
  return at + 6;
}

/** The UTF-16 unit of a `\u` escape, or -1 where there is none. */
function escapedUnit(scan: Scan, at: number): number {
  const { bytes, end } = scan;
  if (at + 6 > end || bytes[at] !== byte.backslash || bytes[at + 1] !== byte.lowerU) return -1;
  let unit = 0;
  for (let digit = at + 2; digit < at + 6; digit++) {
    const value = hexDigits[bytes[digit] as number] as number;
    if (value > 15) return -1;
    unit = unit * 16 + value;
  }
  return unit;
}

const hexDigits = new Uint8Array(256).fill(255);
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  hexDigits[digit.charCodeAt(0)] = value;
  hexDigits[digit.toUpperCase().charCodeAt(0)] = value;
}
