import * as zlib from 'node:zlib';
import type { BodyProblem } from './decode.ts';
import { isWholeZstdFrame } from './inflate-zstd.ts';

/** Encodings of a body. zstd where this Node has it. */
export type Encoding = 'identity' | 'gzip' | 'deflate' | 'br' | 'zstd';

export type Inflated =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly problem: BodyProblem };

/** The encoding that Content-Encoding names; undefined: not one of ours, or several on top of each other. */
export function readEncoding(header: string | undefined): Encoding | undefined {
  const name = header?.trim().toLowerCase() ?? '';
  if (name === '' || name === 'identity') return 'identity';
  if (name === 'x-gzip') return 'gzip';
  return encodings.find((encoding) => encoding === name);
}

/**
 * Undoes the encoding of a body. It stops at `inflatedBytesMax`, so a bomb costs no more than the largest honest body. What
 * ends too early, or goes on behind the end, is `malformed`.
 *
 * It is done on the spot, and not by zlib's threads: bodies are small here (1 MiB), and a call to a thread costs more than
 * inflating 20 kB, twice as much at 160 kB; the largest allowed takes 10 ms (gzip) to 30 ms (br). And only one at a
 * time is ever held in memory.
 */
export function inflate(bytes: Uint8Array, encoding: Encoding, inflatedBytesMax: number): Inflated {
  if (encoding === 'identity') return { ok: true, bytes };
  const run = inflaters[encoding];
  if (run === undefined) throw new Error(`This Node has no ${encoding}`);
  try {
    const { buffer, engine } = run(bytes, {
      info: true,
      maxOutputLength: inflatedBytesMax,
      chunkSize: outputChunkBytes,
    });
    if (engine.bytesWritten < bytes.length)
      return broken(`something follows the end of the ${encoding} data`);
    return { ok: true, bytes: buffer };
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') return tooLarge(inflatedBytesMax);
    return broken(`the ${encoding} data is broken or cut short`);
  }
}

/** Fewer steps than by default: a quarter less time for large bodies. */
const outputChunkBytes = 65_536;

type Inflater = (bytes: Uint8Array, options: object) => Run;

/** What zlib gives with `info: true`. */
interface Run {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

const inflaters: Record<Exclude<Encoding, 'identity'>, Inflater | undefined> = {
  gzip: withInfo(zlib.gunzipSync),
  deflate: (bytes, options) => (looksLikeZlib(bytes) ? inflateZlib : inflateRaw)(bytes, options),
  br: withInfo(zlib.brotliDecompressSync),
  zstd: findZstd(),
};
const inflateZlib = withInfo(zlib.inflateSync);
const inflateRaw = withInfo(zlib.inflateRawSync);

/** Node's types do not say what `info` does. */
function withInfo(run: (bytes: Uint8Array, options: object) => unknown): Inflater {
  return (bytes, options) => run(bytes, options) as Run;
}

/** "deflate" is zlib by the standard, and raw by a tradition of clients. */
function looksLikeZlib(bytes: Uint8Array): boolean {
  const [first = 0, second = 0] = bytes;
  return (first & 0x0f) === 8 && (first * 256 + second) % 31 === 0;
}

/** Node has zstd from 22.15 on. A frame may ask for a window of 128 MiB: 8 MiB is what the standard wants to be supported. */
function findZstd(): Inflater | undefined {
  if (!('zstdDecompressSync' in zlib) || typeof zlib.zstdDecompressSync !== 'function') return undefined;
  const run = withInfo(zlib.zstdDecompressSync as (bytes: Uint8Array, options: object) => unknown);
  return (bytes, options) => {
    if (!isWholeZstdFrame(bytes)) throw new Error('not one whole frame');
    return run(bytes, { ...options, params: { [zstdWindowLogMax]: 23 } });
  };
}

/** zlib.constants.ZSTD_d_windowLogMax, which Node 20 does not have. */
const zstdWindowLogMax = 100;

const encodings = (Object.keys(inflaters) as (keyof typeof inflaters)[]).filter(
  (encoding) => inflaters[encoding] !== undefined,
);

function tooLarge(limit: number): Inflated {
  const detail = `the body is larger than ${limit} bytes when inflated: send it in parts`;
  return { ok: false, problem: { code: 'body_too_large', detail, limit, actual: limit + 1 } };
}

function broken(detail: string): Inflated {
  return { ok: false, problem: { code: 'malformed', detail } };
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
