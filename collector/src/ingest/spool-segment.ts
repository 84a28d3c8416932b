import { crc32 } from 'node:zlib';
import type { SpoolFile } from './spool-folder.ts';

/**
 * One file of the spool. It begins with 8 bytes that name the format and 8 random ones; then records follow, each as
 *
 *     4 bytes   a mark
 *     4 bytes   length of the record
 *     4 bytes   CRC-32 of the random bytes, the length and the record
 *     …         the record
 *
 * A record that was cut by a crash does not fit its checksum, and was never acknowledged. As the random bytes are in the checksum, nothing
 * that a client sends can look like a record.
 */
export interface Segment {
  readonly number: number;
  /** What is durable of it, in bytes. */
  readonly size: number;
  /** Durable when it resolves. When it rejects the file may hold part of it, or all: see `undo`. */
  append(records: readonly Buffer[]): Promise<void>;
  /** Cuts the file back to what is durable. False: it could not be done for sure. */
  undo(): Promise<boolean>;
  /** The records from a place on: at least one where there is one, else as many as begin within `bytesMax` bytes. */
  read(offset: number, bytesMax: number): Promise<Reading>;
  close(): Promise<void>;
}

export interface Reading {
  readonly records: readonly PlacedRecord[];
  /** Bytes among them that are no record any more. */
  readonly damagedBytes: number;
  /** Behind the last of them, damaged ones too. */
  readonly end: number;
}

export interface PlacedRecord {
  readonly bytes: Buffer;
  /** The place behind it. */
  readonly end: number;
}

export const segmentHeaderBytes = 16;
const recordHeaderBytes = 12;

/** What a record takes up. */
export function sizeOnDisk(record: Buffer): number {
  return recordHeaderBytes + record.length;
}

/** Begins a segment in an empty file. It is on disk with the first record. */
export function beginSegment(
  number: number,
  file: SpoolFile,
  randomBytes: (count: number) => Buffer,
): Segment {
  const header = Buffer.concat([format, randomBytes(8)]);
  return createSegment(number, file, header, 0);
}

/**
 * Opens a segment that an earlier process left. `cut`: what is behind its last record is removed, as a crash may have interrupted the
 * writing. Undefined: not even its header got to the disk. Rejects when it is something else.
 */
export async function openSegment(
  number: number,
  file: SpoolFile,
  cut: boolean,
): Promise<{ readonly segment: Segment; readonly cutBytes: number } | undefined> {
  const size = await file.size();
  const header = await file.read(0, segmentHeaderBytes);
  if (header.length < segmentHeaderBytes || header.every((byte) => byte === 0)) return undefined;
  if (!header.subarray(0, format.length).equals(format)) throw new Error('it is no segment of this version');
  if (!cut) return { segment: createSegment(number, file, header, size), cutBytes: 0 };
  const end = endOfRecords(await file.read(0, size), saltOf(header));
  if (end < size) {
    await file.truncate(end);
    await file.sync();
  }
  return { segment: createSegment(number, file, header, end), cutBytes: size - end };
}

const format = Buffer.from('TMSPOOL1', 'latin1');
const mark = Buffer.from([0x9d, 0x7e, 0xe1, 0x0b]);

function createSegment(number: number, file: SpoolFile, header: Buffer, initialSize: number): Segment {
  const salt = saltOf(header);
  let size = initialSize;

  return {
    number,
    get size() {
      return size;
    },
    async append(records) {
      const parts = size === 0 ? [header] : [];
      for (const record of records) parts.push(headerOf(record, salt), record);
      const bytes = Buffer.concat(parts);
      await file.write(bytes, size);
      await file.sync();
      size += bytes.length;
    },
    async undo() {
      try {
        await file.truncate(size);
        await file.sync();
        return true;
      } catch {
        return false;
      }
    },
    async read(offset, bytesMax) {
      const start = Math.max(offset, segmentHeaderBytes);
      if (start >= size) return { records: [], damagedBytes: 0, end: start };
      const reading = framesOf(await file.read(start, Math.min(bytesMax, size - start)), start, salt);
      if (reading.records.length > 0) return reading;
      // The record is longer, or damaged: the next sound one may be anywhere behind it.
      return soundFrom(await file.read(start, size - start), start, salt);
    },
    close: () => file.close(),
  };
}

function saltOf(header: Buffer): number {
  return crc32(header.subarray(format.length));
}

function headerOf(record: Buffer, salt: number): Buffer {
  const header = Buffer.allocUnsafe(recordHeaderBytes);
  mark.copy(header);
  header.writeUInt32LE(record.length, 4);
  header.writeUInt32LE(checksum(header, record, salt), 8);
  return header;
}

function checksum(header: Buffer, record: Buffer, salt: number): number {
  return crc32(record, crc32(header.subarray(4, 8), salt));
}

/** The record at a place, if a sound one is there as a whole. */
function recordAt(bytes: Buffer, at: number, salt: number): Buffer | undefined {
  const start = at + recordHeaderBytes;
  if (start > bytes.length || !bytes.subarray(at, at + mark.length).equals(mark)) return undefined;
  const length = bytes.readUInt32LE(at + 4);
  if (length > bytes.length - start) return undefined;
  const record = bytes.subarray(start, start + length);
  return checksum(bytes.subarray(at, start), record, salt) === bytes.readUInt32LE(at + 8)
    ? record
    : undefined;
}

/** The records at the beginning of these bytes, which stand at `start` in the file. */
function framesOf(bytes: Buffer, start: number, salt: number): Reading {
  const records: PlacedRecord[] = [];
  let at = 0;
  for (;;) {
    const record = recordAt(bytes, at, salt);
    if (record === undefined) return { records, damagedBytes: 0, end: start + at };
    at += sizeOnDisk(record);
    records.push({ bytes: record, end: start + at });
  }
}

/** The first sound record in these bytes, and how much was damaged before it. */
function soundFrom(bytes: Buffer, start: number, salt: number): Reading {
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
    const record = recordAt(bytes, at, salt);
    if (record === undefined) continue;
    const end = start + at + sizeOnDisk(record);
    return { records: [{ bytes: record, end }], damagedBytes: at, end };
  }
  return { records: [], damagedBytes: bytes.length, end: start + bytes.length };
}

/** Behind the last sound record of a whole segment. */
function endOfRecords(bytes: Buffer, salt: number): number {
  let end = segmentHeaderBytes;
  for (;;) {
    const { records, end: behind } = framesOf(bytes.subarray(end), end, salt);
    if (records.length > 0) end = behind;
    const next = soundFrom(bytes.subarray(end), end, salt);
    if (next.records.length === 0) return end;
    end = next.end;
  }
}
