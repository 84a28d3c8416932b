/** A line of the input, or, in CSV, what stands between two line ends outside of quotes. */
export interface InputRecord {
  /** Without the line end. Of one that is too long, its beginning. */
  readonly bytes: Buffer;
  readonly tooLong: boolean;
  /** Counted from 1: the line on which it begins. */
  readonly line: number;
  /** Offsets in the input, decompressed: of its first byte, and of the one after its line end. */
  readonly start: number;
  readonly end: number;
}

export interface SplitOptions {
  /** Longer records are given cut off, and what is beyond is skipped without being kept. */
  readonly recordBytesMax: number;
  /** CSV: the separator of fields, one byte. A line end between quotes is part of its field. */
  readonly delimiter?: string | undefined;
}

const lineFeed = 0x0a;
const quote = 0x22;

/**
 * Splits a stream of bytes into records, in memory that is bounded whatever comes. A quote opens only at the beginning of a field, so a
 * stray one does not swallow what follows; one that does is ended by the limit of a record.
 */
export async function* splitRecords(
  chunks: AsyncIterable<Buffer>,
  { recordBytesMax, delimiter }: SplitOptions,
): AsyncGenerator<InputRecord, void, undefined> {
  const separator = delimiter?.charCodeAt(0);
  let parts: Buffer[] = [];
  let kept = 0;
  let length = 0;
  let start = 0;
  let line = 1;
  let linesWithin = 0;
  let inQuotes = false;
  // Where a quote opens, and where it may go on after it has closed: `"a""b"`.
  let mayOpen = true;

  function keep(piece: Buffer): void {
    length += piece.length;
    const room = recordBytesMax - kept;
    if (room <= 0) return;
    const part = piece.length > room ? piece.subarray(0, room) : piece;
    parts.push(part);
    kept += part.length;
  }

  function take(lineEnd: number): InputRecord {
    const whole = parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts);
    const tooLong = length > recordBytesMax;
    const bytes = !tooLong && whole.at(-1) === 0x0d ? whole.subarray(0, -1) : whole;
    const record = { bytes, tooLong, line, start, end: start + length + lineEnd };
    start = record.end;
    line += linesWithin + lineEnd;
    parts = [];
    kept = length = linesWithin = 0;
    inQuotes = false;
    mayOpen = true;
    return record;
  }

  function isEnd(byte: number): boolean {
    if (byte === lineFeed) {
      if (!inQuotes || length > recordBytesMax) return true;
      linesWithin += 1;
    } else if (byte === quote) {
      if (inQuotes) {
        inQuotes = false;
        mayOpen = true;
        return false;
      }
      if (mayOpen) inQuotes = true;
    }
    mayOpen = byte === separator && !inQuotes;
    return false;
  }

  for await (const chunk of chunks) {
    let from = 0;
    while (from < chunk.length) {
      let at = separator === undefined ? chunk.indexOf(lineFeed, from) : from;
      if (separator !== undefined) {
        const before = length;
        while (at < chunk.length) {
          length = before + at - from;
          if (isEnd(chunk[at] ?? 0)) break;
          at += 1;
        }
        length = before;
        if (at === chunk.length) at = -1;
      }
      if (at < 0) {
        // A copy: a small rest must not hold a large chunk.
        keep(Buffer.from(chunk.subarray(from)));
        break;
      }
      keep(chunk.subarray(from, at));
      yield take(1);
      from = at + 1;
    }
  }
  if (length > 0) yield take(0);
}
