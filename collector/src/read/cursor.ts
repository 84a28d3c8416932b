import type { Position } from '../store/page.ts';

/**
 * A cursor is the text form of a position in one stream: 33 bytes in 44 characters that are safe in URLs.
 *
 *   version 1 | stream identity 8 | epoch 4 | order time 8 (offset binary) | seq 8 | check 4
 *
 * The alphabet is in ASCII order and every field is big-endian, so that cursors of a stream and epoch sort bytewise like
 * their positions. Positions are bigint all the way: a JavaScript number or Date would drop microseconds and repeat events.
 */
export interface Cursor {
  readonly identity: bigint;
  readonly epoch: number;
  readonly position: Position;
}

/** Characters of every cursor. */
export const cursorLength = 44;

const version = 1;
export const bytesLength = 33;
const signOffset = 1n << 63n;

export function encodeCursor(identity: bigint, epoch: number, position: Position): string {
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeBigInt64BE(position.orderTime, 0);
  bytes.writeBigInt64BE(position.seq, 8);
  const text = Buffer.allocUnsafe(cursorLength);
  createCursorWriter(identity, epoch)(
    text,
    0,
    bytes.readInt32BE(0),
    bytes.readUInt32BE(4),
    bytes.readUInt32BE(8),
    bytes.readUInt32BE(12),
  );
  return text.toString('latin1');
}

/** Writes the cursor of a position, given as the upper and lower 32 bits of its order time and seq, and answers with the place after it. */
export type WriteCursor = (
  out: Buffer,
  at: number,
  orderHigh: number,
  orderLow: number,
  seqHigh: number,
  seqLow: number,
) => number;

/** For many positions of one stream and epoch: what their cursors have in common is computed once. */
export function createCursorWriter(identity: bigint, epoch: number): WriteCursor {
  const common = Buffer.alloc(13);
  common[0] = version;
  common.writeBigInt64BE(identity, 1);
  common.writeUInt32BE(epoch, 9);
  const commonCheck = checkOf(common, 13);
  const lastCommon = common.readUInt8(12);
  const text = Buffer.alloc(16);
  for (let index = 0; index < 12; index += 3) putDigits(text, (index / 3) * 4, common.readUIntBE(index, 3));

  return (out, at, orderHigh, orderLow, seqHigh, seqLow) => {
    const high = orderHigh ^ 0x80000000;
    const check = addWord(addWord(addWord(addWord(commonCheck, high), orderLow), seqHigh), seqLow);
    for (let index = 0; index < 16; index++) out[at + index] = text[index] ?? 0;
    putDigits(out, at + 16, (lastCommon << 16) | (high >>> 16));
    putDigits(out, at + 20, ((high & 0xffff) << 8) | (orderLow >>> 24));
    putDigits(out, at + 24, orderLow & 0xffffff);
    putDigits(out, at + 28, seqHigh >>> 8);
    putDigits(out, at + 32, ((seqHigh & 0xff) << 16) | (seqLow >>> 16));
    putDigits(out, at + 36, ((seqLow & 0xffff) << 8) | (check >>> 24));
    putDigits(out, at + 40, check & 0xffffff);
    return at + cursorLength;
  };
}

/** Undefined: it is not a cursor, or not a whole one. Whether it belongs to the stream is for the caller to see. */
export function decodeCursor(text: string): Cursor | undefined {
  const bytes = unsealed(text, version);
  if (bytes === undefined) return undefined;
  const seq = bytes.readBigUInt64BE(21);
  if (seq >= signOffset) return undefined;
  return {
    identity: bytes.readBigInt64BE(1),
    epoch: bytes.readUInt32BE(9),
    position: { orderTime: bytes.readBigUInt64BE(13) - signOffset, seq },
  };
}

/** The text of the bytes of a cursor, whose last four are left to the check. */
export function sealed(bytes: Buffer): string {
  bytes.writeUInt32BE(checkOf(bytes, bytesLength - 4) >>> 0, bytesLength - 4);
  const text = Buffer.allocUnsafe(cursorLength);
  for (let index = 0; index < bytesLength; index += 3)
    putDigits(text, (index / 3) * 4, bytes.readUIntBE(index, 3));
  return text.toString('latin1');
}

/** The bytes of a whole cursor of this version. */
export function unsealed(text: string, ofVersion: number): Buffer | undefined {
  if (text.length !== cursorLength) return undefined;
  const bytes = fromText(text);
  if (bytes === undefined || bytes[0] !== ofVersion) return undefined;
  return bytes.readUInt32BE(bytesLength - 4) === checkOf(bytes, bytesLength - 4) >>> 0 ? bytes : undefined;
}

/** FNV-1a over what comes before it: against slips and cut texts, not against malice (a position is no secret). */
export function checkOf(bytes: Buffer, length: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < length; index++) hash = Math.imul(hash ^ (bytes[index] ?? 0), 0x01000193);
  return hash;
}

/** The check of what came before and four bytes more. */
function addWord(check: number, word: number): number {
  let hash = Math.imul(check ^ (word >>> 24), 0x01000193);
  hash = Math.imul(hash ^ ((word >>> 16) & 0xff), 0x01000193);
  hash = Math.imul(hash ^ ((word >>> 8) & 0xff), 0x01000193);
  return Math.imul(hash ^ (word & 0xff), 0x01000193);
}

const alphabet = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz';
const digits = new Map(alphabet.split('').map((character, value) => [character, value]));

const digitCodes = Buffer.from(alphabet, 'latin1');

/** Three bytes as four characters. */
function putDigits(out: Buffer, at: number, three: number): void {
  out[at] = digitCodes[three >>> 18] ?? 0;
  out[at + 1] = digitCodes[(three >>> 12) & 63] ?? 0;
  out[at + 2] = digitCodes[(three >>> 6) & 63] ?? 0;
  out[at + 3] = digitCodes[three & 63] ?? 0;
}

function fromText(text: string): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(bytesLength);
  for (let index = 0; index < cursorLength; index += 4) {
    let three = 0;
    for (let offset = 0; offset < 4; offset++) {
      const digit = digits.get(text.charAt(index + offset));
      if (digit === undefined) return undefined;
      three = three * 64 + digit;
    }
    bytes.writeUIntBE(three, (index / 4) * 3, 3);
  }
  return bytes;
}
