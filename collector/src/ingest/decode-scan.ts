import { byte } from './decode-bytes.ts';

/**
 * A validating JSON scanner over bytes that are known to be UTF-8. It builds nothing: it accepts exactly what JSON.parse
 * accepts, says where each value ends, and notes what a reader of the text needs to know.
 *
 * One pass, no recursion: nesting lives in a byte array, so that a body of brackets costs a byte each and not the stack.
 * Bytes instead of a string: a typed array is read faster than charCodeAt, the length of an event in UTF-8 falls out, and no
 * string as large as the body is ever made.
 *
 * Each `pass…` function takes the place where something begins and gives the place behind it.
 */
export interface Scan {
  readonly bytes: Buffer;
  /** The same bytes, to be read four at a time. */
  readonly view: DataView;
  /** No byte at or after it is read. */
  end: number;
  /** Bytes passed minus UTF-16 units passed. */
  excess: number;
  /** Whether the last string has escapes. */
  escaped: boolean;
  /** The text between the quotes of the last member's name, and whether it has escapes. */
  nameStart: number;
  nameEnd: number;
  nameEscaped: boolean;
  /** Whether white space with a line break was passed. */
  lineBreaks: boolean;
  /** How deep values may nest; deeper ones are passed over, but noted. */
  depthMax: number;
  /** The first thing passed that is JSON but cannot be kept. */
  unfit: Unfit | undefined;
  /** The bytes that end what the scanner is in, outermost first. */
  nesting: Uint8Array;
}

export type Unfit = 'nul' | 'surrogate' | 'number' | 'depth';

export function createScan(bytes: Buffer, depthMax: number): Scan {
  return {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    end: bytes.length,
    excess: 0,
    escaped: false,
    nameStart: 0,
    nameEnd: 0,
    nameEscaped: false,
    lineBreaks: false,
    depthMax,
    unfit: undefined,
    nesting: new Uint8Array(64),
  };
}

/** Where the text stops being JSON, and what was expected there. */
export class BrokenJson extends Error {
  override name = 'BrokenJson';
  readonly at: number;
  readonly expected: string;

  constructor(at: number, expected: string) {
    super(`expected ${expected}`);
    this.at = at;
    this.expected = expected;
  }
}

export function passSpace(scan: Scan, start: number): number {
  const { bytes, end } = scan;
  let at = start;
  while (at < end && (bytes[at] as number) <= byte.space) {
    const next = bytes[at];
    if (next === byte.lineFeed || next === byte.return) scan.lineBreaks = true;
    else if (next !== byte.space && next !== byte.tab) break;
    at++;
  }
  return at;
}
