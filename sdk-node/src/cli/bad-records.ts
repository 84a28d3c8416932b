import { type FileHandle, open } from 'node:fs/promises';
import type { InputRecord } from './records.ts';

/** What could not be imported, kept in a file: a line of JSON for each record, with where it stands, why, and its text. */
export interface BadRecords {
  readonly count: number;
  add(input: string, record: InputRecord, reason: string): Promise<void>;
  close(): Promise<void>;
}

/** The file is made when the first comes, and appended to. */
export function createBadRecords(path: string): BadRecords {
  let file: FileHandle | undefined;
  let count = 0;
  return {
    get count() {
      return count;
    },
    async add(input, { bytes, line, start, end, tooLong }, reason) {
      file ??= await open(path, 'a');
      count += 1;
      const text = bytes.toString('utf8');
      // Bytes that are no text come back from Base64; of what is too long, the offsets say where the rest is.
      const content = Buffer.from(text).equals(bytes) ? { text } : { base64: bytes.toString('base64') };
      const cut = tooLong ? { cut: true } : {};
      await file.appendFile(`${JSON.stringify({ input, line, start, end, reason, ...cut, ...content })}\n`);
    },
    async close() {
      await file?.sync();
      await file?.close();
    },
  };
}
