import type { Random } from '../harness/seed.ts';

/** A request before it is bytes. */
export interface FuzzRequest {
  readonly method: string;
  /** Path and query, as they stand in the first line. */
  readonly target: string;
  readonly headers: readonly Header[];
  readonly body: Buffer | undefined;
}

export type Header = readonly [name: string, value: string];

/** A request as it goes over the wire. */
export interface WireRequest {
  readonly bytes: Buffer;
  readonly method: string;
  /** It says truly where it ends, so that one reply comes, and the connection can be used again. */
  readonly sound: boolean;
}

/** By the book: with its length, or in chunks. */
export function soundBytes(request: FuzzRequest, random: Random): WireRequest {
  const { method, body } = request;
  const framing: Header[] = [];
  let sent = body ?? Buffer.alloc(0);
  if (body !== undefined && random.below(5) === 0) {
    framing.push(['transfer-encoding', 'chunked']);
    sent = inChunks(body, random);
  } else if (body !== undefined) framing.push(['content-length', String(body.length)]);
  return { bytes: write(request, framing, sent), method, sound: true };
}

/** With a length, chunks or line ends that are wrong, cut short, or with bytes flipped: what comes back is anybody's guess. */
export function brokenBytes(request: FuzzRequest, random: Random): WireRequest {
  const { method } = request;
  const body = request.body ?? Buffer.from('{"events":[]}');
  const chunked: Header = ['transfer-encoding', 'chunked'];
  const length = (bytes: number | string): Header => ['content-length', String(bytes)];
  const write2 = (framing: readonly Header[], sent: Buffer) => write(request, framing, sent);
  const wrongLengths = [
    -1,
    body.length + 10,
    body.length >> 1,
    2 ** 31,
    2 ** 53,
    '0x10',
    '1e3',
    '+5',
    '',
    '5, 5',
  ];
  const breaks: readonly [() => Buffer, ...(() => Buffer)[]] = [
    () => write2([length(random.oneOf(wrongLengths as [number]))], body),
    () => write2([length(body.length), length(body.length + 1)], body),
    () => write2([length(body.length), chunked], random.below(2) === 0 ? body : inChunks(body, random)),
    () =>
      write2(
        [
          [
            'transfer-encoding',
            random.oneOf(['gzip', 'chunked, gzip', 'chunked, chunked', ' chunked', 'xchunked']),
          ],
        ],
        body,
      ),
    () => write2([chunked], badChunks(body, random)),
    () =>
      Buffer.from(
        write2([length(body.length)], body)
          .toString('latin1')
          .replaceAll('\r\n', '\n'),
        'latin1',
      ),
    () => cut(write2([length(body.length)], body), random),
    () => flipped(write2([length(body.length)], body), random),
    () =>
      write(
        { ...request, headers: [...request.headers, [random.oneOf(['x y', 'a:b', '', 'x\0']), 'v']] },
        [length(body.length)],
        body,
      ),
    () =>
      write(
        { ...request, headers: [...request.headers, ['x-long', 'x'.repeat(1 << (10 + random.below(10)))]] },
        [length(body.length)],
        body,
      ),
    () =>
      write(
        {
          ...request,
          target: random.oneOf(['', ' ', 'http://[::1', '//', '*', '/%', '/\0', '/é', '?', 'x:80']),
        },
        [length(body.length)],
        body,
      ),
    () => Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256))),
  ];
  return { bytes: random.oneOf(breaks)(), method, sound: false };
}

function write({ method, target, headers }: FuzzRequest, framing: readonly Header[], body: Buffer): Buffer {
  const lines = [...headers, ...framing].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const head = `${method} ${target} HTTP/1.1\r\nhost: 127.0.0.1\r\n${lines}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

function inChunks(body: Buffer, random: Random): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const size = 1 + random.below(Math.min(10_000, body.length - at));
    parts.push(Buffer.from(`${size.toString(16)}\r\n`), body.subarray(at, at + size), Buffer.from('\r\n'));
    at += size;
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

function badChunks(body: Buffer, random: Random): Buffer {
  const size = random.oneOf([
    body.length.toString(16),
    `${body.length.toString(16)};ext=${'x'.repeat(random.below(40_000))}`,
    'fffffffffffffffff',
    '-1',
    'zz',
    '',
    (body.length + 5).toString(16),
  ]);
  const end = random.oneOf([
    '\r\n0\r\n\r\n',
    '\n0\n\n',
    '\r\n',
    '0\r\n\r\n',
    '\r\n0\r\nx: y\r\n\r\n',
    '\r\n00000000000000000\r\n\r\n',
  ]);
  return Buffer.concat([Buffer.from(`${size}\r\n`), body, Buffer.from(end)]);
}

export function cut(bytes: Buffer, random: Random): Buffer {
  return bytes.subarray(0, random.below(bytes.length + 1));
}

export function flipped(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  for (let times = 1 + random.below(4); times > 0 && copy.length > 0; times -= 1) {
    const at = random.below(copy.length);
    copy[at] = random.oneOf([0, 10, 13, 34, 92, 123, 255, random.below(256)]);
  }
  return copy;
}
