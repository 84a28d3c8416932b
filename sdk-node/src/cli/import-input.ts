import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** The bytes of an input, decompressed, and how far they have been read. */
export interface Input {
  readonly chunks: AsyncIterable<Buffer>;
  /** Of the file as it is on disk; undefined where nobody knows. */
  readonly bytesTotal: number | undefined;
  bytesRead(): number;
}

/** `-` is standard input. What begins like gzip is decompressed, whatever its name. */
export async function openInput(path: string, stdin: Readable, signal: AbortSignal): Promise<Input> {
  const file = path === '-' ? undefined : await stat(path);
  if (file?.isDirectory() === true) throw new Error(`${path} is a folder`);
  const raw = path === '-' ? stdin : createReadStream(path, { highWaterMark: 262_144 });
  let read = 0;
  async function* counted(): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of raw as AsyncIterable<Buffer>) {
      read += chunk.length;
      yield chunk;
      if (signal.aborted) return;
    }
  }
  return {
    chunks: decompressed(counted()),
    bytesTotal: file?.isFile() === true ? file.size : undefined,
    bytesRead: () => read,
  };
}

/** Of one file after the other in it, as gzip allows. Throws where it ends in the middle. */
async function* decompressed(
  chunks: AsyncGenerator<Buffer, void, undefined>,
): AsyncGenerator<Buffer, void, undefined> {
  let begun = Buffer.alloc(0);
  while (begun.length < 2) {
    const next = await chunks.next();
    if (next.done === true) break;
    begun = Buffer.concat([begun, next.value]);
  }
  async function* whole(): AsyncGenerator<Buffer, void, undefined> {
    if (begun.length > 0) yield begun;
    yield* chunks;
  }
  if (begun[0] !== 0x1f || begun[1] !== 0x8b) {
    yield* whole();
    return;
  }
  const gunzip = createGunzip();
  const source = Readable.from(whole());
  source.on('error', (error) => gunzip.destroy(error));
  yield* source.pipe(gunzip) as AsyncIterable<Buffer>;
}
