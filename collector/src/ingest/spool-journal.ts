import type { SpoolFolder } from './spool-folder.ts';
import { createPlaceFile, type Place, placeFileName, readPlace } from './spool-place.ts';
import {
  beginSegment,
  openSegment,
  type PlacedRecord,
  type Segment,
  segmentHeaderBytes,
  sizeOnDisk,
} from './spool-segment.ts';

/**
 * The journal of the spool: records in the order in which they were appended, in segments that are only appended to and are removed when all
 * that is in them has been settled.
 *
 * Appends that come while others are being written wait for the next group: one write and one sync for all of them. A group
 * that fails is cut off again, and its segment is not written to any more: after a failed sync nobody knows what the system still has of
 * the file's end. A start never writes to a segment that an earlier process left.
 */
export interface Journal {
  /** Durable when it resolves. Rejects with `SpoolFullError`, or with `SpoolWriteError`. */
  append(record: Buffer): Promise<void>;
  /** The oldest records that are not settled: at least one where there is one, about `bytesMax` bytes at most. */
  read(bytesMax: number): Promise<readonly JournalRecord[]>;
  /** Everything up to this place is done with. */
  settle(place: Place): Promise<void>;
  /** Bytes of records that are not settled. */
  readonly waitingBytes: number;
  /** 0–1: how much of what it may take up on disk it does take up. 1 too when the disk was full a moment ago. */
  fill(): number;
  /** Finishes what was appended. */
  close(): Promise<void>;
}

export interface JournalRecord {
  readonly bytes: Buffer;
  readonly end: Place;
}

/** There is no room: nothing is kept of the record. */
export class SpoolFullError extends Error {
  override readonly name = 'SpoolFullError';
}

/** The disk failed. Whether anything is kept of the record is unknown. */
export class SpoolWriteError extends Error {
  override readonly name = 'SpoolWriteError';
}

export interface JournalOptions {
  /** What all segments together may take up on disk. */
  readonly bytesMax: number;
  readonly randomBytes: (count: number) => Buffer;
  readonly monotonicMs: () => number;
  /** Told of bytes that are no record any more: events that were acknowledged may have been in them. */
  readonly onDamage: (segment: string, bytes: number) => void;
  /** Told of the end of a record that a crash cut: nobody got an answer for it. */
  readonly onCut: (segment: string, bytes: number) => void;
}

/** A segment is full at this size; a smaller one gives its room back sooner. */
const segmentBytesMax = 8_388_608;
/** So long after the disk was found full nothing is tried. */
const fullForMs = 1_000;

interface Pending {
  readonly record: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Opens the journal of a folder that nobody else uses. Rejects when what is there cannot be used. */
export async function openJournal(folder: SpoolFolder, options: JournalOptions): Promise<Journal> {
  const segmentBytes = Math.min(segmentBytesMax, Math.ceil(options.bytesMax / 8));
  const placeHandle = await folder.open(placeFileName);
  const drained = await readPlace(placeHandle);
  const placeFile = createPlaceFile(placeHandle);
  const segments = await openSegments(folder, drained?.segment ?? 0, options).catch(
    async (error: unknown) => {
      await placeHandle.close();
      throw error;
    },
  );
  const [oldest] = segments;
  let head: Place =
    drained !== undefined && drained.segment === oldest?.number
      ? drained
      : { segment: oldest?.number ?? 0, offset: segmentHeaderBytes };
  let nextNumber = Math.max(drained?.segment ?? 0, segments.at(-1)?.number ?? 0) + 1;
  /** What is appended to now. */
  let current: Segment | undefined;
  let pending: Pending[] = [];
  let pendingBytes = 0;
  let usedBytes = segments.reduce((sum, { size }) => sum + size, 0);
  let flushing = false;
  let fullUntilMs = Number.NEGATIVE_INFINITY;
  /** Writes and removals come one after the other. */
  let last: Promise<unknown> = Promise.resolve();

  function serially<T>(task: () => Promise<T>): Promise<T> {
    const done = last.then(task);
    last = done.catch(() => undefined);
    return done;
  }

  function append(record: Buffer): Promise<void> {
    if (options.monotonicMs() < fullUntilMs) return Promise.reject(new SpoolFullError('its disk is full'));
    const headers = segmentHeaderBytes * (1 + Math.ceil(pendingBytes / segmentBytes));
    const used = usedBytes + pendingBytes + headers;
    if (used + sizeOnDisk(record) > options.bytesMax) {
      return Promise.reject(new SpoolFullError(`it has ${used} bytes, the limit is ${options.bytesMax}`));
    }
    pendingBytes += sizeOnDisk(record);
    return new Promise((resolve, reject) => {
      pending.push({ record, resolve, reject });
      if (flushing) return;
      flushing = true;
      void flush();
    });
  }

  async function flush(): Promise<void> {
    while (pending.length > 0) {
      const group = takeGroup();
      try {
        await serially(() => write(group.map(({ record }) => record)));
        for (const { resolve } of group) resolve();
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const { reject } of group) reject(failure);
      }
      for (const { record } of group) pendingBytes -= sizeOnDisk(record);
    }
    flushing = false;
  }

  function takeGroup(): readonly Pending[] {
    let bytes = 0;
    let count = 0;
    while (count < pending.length && (count === 0 || bytes < segmentBytes)) {
      bytes += pending[count]?.record.length ?? 0;
      count += 1;
    }
    const group = pending.slice(0, count);
    pending = pending.slice(count);
    return group;
  }

  async function write(records: readonly Buffer[]): Promise<void> {
    try {
      const segment = await segmentToWrite();
      const before = segment.size;
      await segment.append(records);
      usedBytes += segment.size - before;
    } catch (error) {
      const failed = current;
      current = undefined;
      const undone = failed === undefined || (await failed.undo());
      if (failed?.size === 0) await drop(failed);
      if (!undone || !isFull(error))
        throw new SpoolWriteError('The spool could not be written', { cause: error });
      fullUntilMs = options.monotonicMs() + fullForMs;
      throw new SpoolFullError('its disk is full', { cause: error });
    }
  }

  async function segmentToWrite(): Promise<Segment> {
    if (current !== undefined && current.size < segmentBytes) return current;
    const number = nextNumber;
    nextNumber += 1;
    const file = await folder.open(nameOf(number));
    current = beginSegment(number, file, options.randomBytes);
    segments.push(current);
    await folder.sync();
    return current;
  }

  async function read(bytesMax: number): Promise<readonly JournalRecord[]> {
    for (const segment of [...segments]) {
      let offset = segment.number === head.segment ? head.offset : segmentHeaderBytes;
      while (offset < segment.size) {
        const { records, damagedBytes, end } = await segment.read(offset, bytesMax);
        if (damagedBytes > 0) options.onDamage(nameOf(segment.number), damagedBytes);
        if (records.length > 0) return records.map((record) => placed(segment, record));
        offset = end;
      }
      await settle({ segment: segment.number, offset: segment.size });
    }
    return [];
  }

  function settle(place: Place): Promise<void> {
    return serially(async () => {
      head = place;
      // What is lost of it is done again.
      await placeFile.write(place).catch(() => undefined);
      for (const segment of [...segments]) {
        const done =
          segment.number < place.segment ||
          (segment.number === place.segment && place.offset >= segment.size);
        if (done && (segment !== current || pending.length === 0)) await drop(segment);
      }
    });
  }

  /** A file that cannot be removed now is removed at the next start. */
  async function drop(segment: Segment): Promise<void> {
    segments.splice(segments.indexOf(segment), 1);
    usedBytes -= segment.size;
    if (segment === current) current = undefined;
    await segment.close().catch(() => undefined);
    await folder.remove(nameOf(segment.number)).catch(() => undefined);
  }

  return {
    append,
    read,
    settle,
    get waitingBytes() {
      return segments.reduce((sum, { number, size }) => {
        const settled = number === head.segment ? head.offset : segmentHeaderBytes;
        return sum + Math.max(0, size - settled);
      }, 0);
    },
    fill() {
      if (options.monotonicMs() < fullUntilMs) return 1;
      return Math.min(1, (usedBytes + pendingBytes) / options.bytesMax);
    },
    async close() {
      while (flushing) await last;
      await last;
      await Promise.all(segments.map((segment) => segment.close().catch(() => undefined)));
      // What it says is worth no failure.
      await placeFile.close().catch(() => undefined);
    },
  };
}

/** In the order of their making. Those that were settled before, and those that nothing got into, are removed. */
async function openSegments(
  folder: SpoolFolder,
  settledBelow: number,
  options: JournalOptions,
): Promise<Segment[]> {
  const segments: Segment[] = [];
  const numbers = (await folder.list()).flatMap(numberOf).sort((a, b) => a - b);
  for (const number of numbers) {
    const name = nameOf(number);
    if (number < settledBelow) {
      await folder.remove(name);
      continue;
    }
    const file = await folder.open(name);
    const opened = await openSegment(number, file, number === numbers.at(-1)).catch(
      async (error: unknown) => {
        await Promise.all([file, ...segments].map((one) => one.close()));
        throw new Error(`${name} cannot be used: ${error instanceof Error ? error.message : String(error)}`);
      },
    );
    if (opened === undefined) {
      await file.close();
      await folder.remove(name);
      continue;
    }
    segments.push(opened.segment);
    if (opened.cutBytes > 0) options.onCut(name, opened.cutBytes);
  }
  return segments;
}

const nameOf = (number: number): string => `${String(number).padStart(12, '0')}.spool`;

function numberOf(name: string): number[] {
  const [, digits] = /^(\d{12})\.spool$/.exec(name) ?? [];
  return digits === undefined ? [] : [Number(digits)];
}

function placed({ number }: Segment, { bytes, end }: PlacedRecord): JournalRecord {
  return { bytes, end: { segment: number, offset: end } };
}

/** No space, over quota, or larger than a file may be. */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && fullCodes.has(String(error.code));
}

const fullCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
