import { bytesLength, checkOf, sealed, unsealed } from './cursor.ts';

/**
 * A place between the windows of a stream, or within a large one: like an event's cursor, with another version.
 *
 *   version 2 | stream identity 8 | epoch 4 | start of the next window 8 (offset binary) | panes of it already given 4 | kind 4 | check 4
 */
export interface WindowCursor {
  readonly identity: bigint;
  readonly epoch: number;
  /** Microseconds. */
  readonly start: bigint;
  readonly panesGiven: number;
  /** Of which size and grouping: windows of another kind have other places. */
  readonly kind: number;
}

const version = 2;
const signOffset = 1n << 63n;

export function encodeWindowCursor({ identity, epoch, start, panesGiven, kind }: WindowCursor): string {
  const bytes = Buffer.alloc(bytesLength);
  bytes[0] = version;
  bytes.writeBigInt64BE(identity, 1);
  bytes.writeUInt32BE(epoch, 9);
  bytes.writeBigUInt64BE(start + signOffset, 13);
  bytes.writeUInt32BE(panesGiven, 21);
  bytes.writeUInt32BE(kind, 25);
  return sealed(bytes);
}

/** Undefined: it is not a cursor of windows, or not a whole one. */
export function decodeWindowCursor(text: string): WindowCursor | undefined {
  const bytes = unsealed(text, version);
  if (bytes === undefined) return undefined;
  return {
    identity: bytes.readBigInt64BE(1),
    epoch: bytes.readUInt32BE(9),
    start: bytes.readBigUInt64BE(13) - signOffset,
    panesGiven: bytes.readUInt32BE(21),
    kind: bytes.readUInt32BE(25),
  };
}

/** What tells kinds apart: against mistakes, not against malice. */
export function kindOf(sizeMicros: bigint, groupBy: string | undefined): number {
  const bytes = Buffer.from(`${sizeMicros} ${groupBy ?? ''}`);
  return checkOf(bytes, bytes.length) >>> 0;
}
