import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Encoding, inflate, readEncoding } from '../../../collector/src/ingest/inflate.ts';

const max = 100_000;

type Compress = (bytes: Uint8Array) => Buffer;

const compressors: [name: string, encoding: Encoding, compress: Compress][] = [
  ['gzip', 'gzip', (bytes) => zlib.gzipSync(bytes)],
  ['deflate with the header of zlib', 'deflate', (bytes) => zlib.deflateSync(bytes)],
  ['raw deflate', 'deflate', (bytes) => zlib.deflateRawSync(bytes)],
  ['br', 'br', (bytes) => zlib.brotliCompressSync(bytes, quick)],
];
const quick = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } };
if ('zstdCompressSync' in zlib) compressors.push(['zstd', 'zstd', zlib.zstdCompressSync as Compress]);

function problemOf(bytes: Uint8Array, encoding: Encoding) {
  const inflated = inflate(bytes, encoding, max);
  if (inflated.ok) throw new Error(`inflated to ${inflated.bytes.length} bytes`);
  return inflated.problem;
}

describe.each(compressors)('%s', (_, encoding, compress) => {
  test('is undone', () => {
    const bodies = fc.oneof(
      fc.uint8Array(),
      fc.string().map((text) => Buffer.from(text.repeat(50))),
    );
    fc.assert(
      fc.property(bodies, (body) => {
        const inflated = inflate(compress(body), encoding, max);
        expect(inflated.ok && Buffer.from(inflated.bytes).equals(body)).toBe(true);
      }),
    );
  });

  test('is stopped at the limit, to the byte', () => {
    const inflated = inflate(compress(Buffer.alloc(max, 'x')), encoding, max);
    expect(inflated.ok && inflated.bytes.length).toBe(max);
    expect(problemOf(compress(Buffer.alloc(max + 1, 'x')), encoding)).toMatchObject({
      code: 'body_too_large',
      limit: max,
      actual: max + 1,
    });
  });

  test('R2 a bomb costs what the limit costs', () => {
    const bomb = compress(Buffer.alloc(64 * 1_048_576));
    expect(bomb.length).toBeLessThan(1_048_576);
    const before = process.memoryUsage().arrayBuffers;
    expect(problemOf(bomb, encoding).code).toBe('body_too_large');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1_048_576);
  });

  test('is malformed when it is cut anywhere', () => {
    const whole = compress(Buffer.from('events '.repeat(30)));
    for (let length = 0; length < whole.length; length++)
      expect([length, problemOf(whole.subarray(0, length), encoding).code]).toEqual([length, 'malformed']);
  });

  test('is malformed when something follows it', () => {
    const whole = compress(Buffer.from('events'));
    for (const more of ['x', 'junk', '\0', '\0\0\0\0', '\x1f', '\x1f\x8b'])
      expect([more, problemOf(Buffer.concat([whole, Buffer.from(more, 'latin1')]), encoding).code]).toEqual([
        more,
        'malformed',
      ]);
  });

  test('is malformed when it is something else', () => {
    expect(problemOf(Buffer.from('{"events":[]}'), encoding).code).toBe('malformed');
  });

  test('R2 never throws, whatever is changed in it', () => {
    const whole = compress(Buffer.from('{"events":[{"name":"a"}]}'.repeat(20)));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }), (changes) => {
        const changed = Buffer.from(whole);
        for (const [at, value] of changes) changed[at] = value;
        const inflated = inflate(changed, encoding, max);
        expect(
          inflated.ok || inflated.problem.code === 'malformed' || inflated.problem.code === 'body_too_large',
        ).toBe(true);
      }),
    );
  });
});

test('several gzip members are one body', () => {
  const two = Buffer.concat([zlib.gzipSync('{"events":'), zlib.gzipSync('[]}')]);
  const inflated = inflate(two, 'gzip', max);
  expect(inflated.ok && Buffer.from(inflated.bytes).toString()).toBe('{"events":[]}');
});

test('without an encoding a body stays what it is', () => {
  const bytes = Buffer.from('x');
  expect(inflate(bytes, 'identity', max)).toEqual({ ok: true, bytes });
});

test.each([
  [undefined, 'identity'],
  ['', 'identity'],
  ['identity', 'identity'],
  ['gzip', 'gzip'],
  [' GZip ', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
  ['zstd', 'zstdDecompressSync' in zlib ? 'zstd' : undefined],
  ['compress', undefined],
  ['gzip, gzip', undefined],
  ['gzip,br', undefined],
  ['constructor', undefined],
])('Content-Encoding %j: %s', (header, encoding) => {
  expect(readEncoding(header)).toBe(encoding);
});
