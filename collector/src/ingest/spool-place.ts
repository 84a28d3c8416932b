import { crc32 } from 'node:zlib';
import type { SpoolFile } from './spool-folder.ts';

/** A place in the spool: everything before it has been moved to Postgres. */
export interface Place {
  readonly segment: number;
  readonly offset: number;
}

/**
 * Where the drain stands, in a file of its own that is written over in place. It is not waited for that it is durable: after a crash of the
 * machine what was moved last is moved again, and its ids say that it is there already.
 */
export interface PlaceFile {
  write(place: Place): Promise<void>;
  close(): Promise<void>;
}

export const placeFileName = 'drained';
const bytes = 39;

/** The place that was written last, or undefined. */
export async function readPlace(file: SpoolFile): Promise<Place | undefined> {
  const text = (await file.read(0, bytes)).toString('latin1');
  const [, segment = '', offset = '', checksum] = /^(\d{14}) (\d{14}) ([0-9a-f]{8})\n$/.exec(text) ?? [];
  if (checksum === undefined || checksum !== checksumOf(`${segment} ${offset}`)) return undefined;
  return { segment: Number(segment), offset: Number(offset) };
}

export function createPlaceFile(file: SpoolFile): PlaceFile {
  return {
    async write({ segment, offset }) {
      const text = `${digits(segment)} ${digits(offset)}`;
      await file.write(Buffer.from(`${text} ${checksumOf(text)}\n`, 'latin1'), 0);
    },
    async close() {
      await file.sync();
      await file.close();
    },
  };
}

const digits = (number: number): string => String(number).padStart(14, '0');

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}
