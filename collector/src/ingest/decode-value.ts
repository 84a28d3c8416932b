import { byte } from './decode-bytes.ts';
import { passNumber } from './decode-number.ts';
import { BrokenJson, passSpace, type Scan } from './decode-scan.ts';
import { passString } from './decode-string.ts';

/** One value, of whatever kind and depth, and the white space before it. `level` is how deep it nests if it is a container. */
export function passValue(scan: Scan, start: number, level: number): number {
  const { bytes, end } = scan;
  let { nesting } = scan;
  let at = start;
  let depth = 0;
  for (;;) {
    // Here a value begins.
    at = passSpace(scan, at);
    const first = at < end ? (bytes[at] as number) : -1;
    if (first === byte.quote) at = passString(scan, at);
    else if (first === byte.openBrace || first === byte.openBracket) {
      if (level + depth > scan.depthMax) scan.unfit ??= 'depth';
      at = passSpace(scan, at + 1);
      // In ASCII each closing bracket is two behind the one that opens.
      if (at < end && bytes[at] === first + 2) at++;
      else {
        if (depth === nesting.length) nesting = scan.nesting = doubled(nesting);
        nesting[depth++] = first + 2;
        if (first === byte.openBrace) at = passName(scan, at);
        continue;
      }
    } else if (first === byte.minus || (first >= byte.zero && first <= byte.nine)) at = passNumber(scan, at);
    else at = passWord(scan, at);
    // Here a value has ended, and perhaps what it stands in.
    for (;;) {
      if (depth === 0) return at;
      const last = nesting[depth - 1] as number;
      at = passSpace(scan, at);
      const next = at < end ? (bytes[at] as number) : -1;
      if (next === byte.comma) {
        at = last === byte.closeBrace ? passName(scan, at + 1) : at + 1;
        break;
      }
      if (next !== last) throw brokenBehindValue(at, last);
      at++;
      depth--;
    }
  }
}

/**
 * Steps into an object: the place of its first member's value, or, negated, the place behind the object when it is empty.
 * With `nextMember` it walks over members whose values the caller passes.
 */
export function enterObject(scan: Scan, start: number): number {
  if (start >= scan.end || scan.bytes[start] !== byte.openBrace) throw new BrokenJson(start, "'{'");
  const at = passSpace(scan, start + 1);
  return at < scan.end && scan.bytes[at] === byte.closeBrace ? -(at + 1) : passName(scan, at);
}

/** From behind a member's value to the next one, or, negated, the place behind the object when it ends. */
export function nextMember(scan: Scan, start: number): number {
  const at = nextElement(scan, start, byte.closeBrace);
  return at < 0 ? at : passName(scan, at);
}

/** As `enterObject`, for an array. */
export function enterArray(scan: Scan, start: number): number {
  if (start >= scan.end || scan.bytes[start] !== byte.openBracket) throw new BrokenJson(start, "'['");
  const at = passSpace(scan, start + 1);
  return at < scan.end && scan.bytes[at] === byte.closeBracket ? -(at + 1) : at;
}

/** From behind a value to behind the comma after it, or, negated, the place behind `last` where that ends its container. */
export function nextElement(scan: Scan, start: number, last: number): number {
  const at = passSpace(scan, start);
  const next = at < scan.end ? scan.bytes[at] : -1;
  if (next === byte.comma) return at + 1;
  if (next === last) return -(at + 1);
  throw brokenBehindValue(at, last);
}

const brokenBehindValue = (at: number, last: number) =>
  new BrokenJson(at, last === byte.closeBrace ? "',' or '}'" : "',' or ']'");

/** The name of the member at the scanner's place. */
export function nameOf(scan: Scan): string {
  const text = scan.bytes.toString('utf8', scan.nameStart, scan.nameEnd);
  return scan.nameEscaped ? String(JSON.parse(`"${text}"`)) : text;
}

/** A member's name and the colon after it. */
function passName(scan: Scan, start: number): number {
  const { bytes, end } = scan;
  const quote = passSpace(scan, start);
  if (quote >= end || bytes[quote] !== byte.quote) throw new BrokenJson(quote, 'a name in double quotes');
  const behind = passString(scan, quote);
  scan.nameStart = quote + 1;
  scan.nameEnd = behind - 1;
  scan.nameEscaped = scan.escaped;
  const colon = passSpace(scan, behind);
  if (colon >= end || bytes[colon] !== byte.colon) throw new BrokenJson(colon, "':'");
  return colon + 1;
}

const words = [Buffer.from('true'), Buffer.from('false'), Buffer.from('null')];

function passWord(scan: Scan, start: number): number {
  const { bytes, end } = scan;
  const word = words.find((candidate) => start < end && candidate[0] === bytes[start]);
  if (word === undefined) throw new BrokenJson(start, 'a value');
  for (let letter = 1; letter < word.length; letter++) {
    if (start + letter >= end || bytes[start + letter] !== word[letter])
      throw new BrokenJson(start, `a value`);
  }
  return start + word.length;
}

function doubled(nesting: Uint8Array): Uint8Array {
  const larger = new Uint8Array(nesting.length * 2);
  larger.set(nesting);
  return larger;
}
