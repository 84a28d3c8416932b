import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import type { Random } from '../harness/seed.ts';
import { cut, flipped, type FuzzRequest, type Header } from './request.ts';
import { anyJson, anyText } from './values.ts';

/** The request with one to four things changed: still a request, of another sender. */
export function mutate(request: FuzzRequest, random: Random): FuzzRequest {
  let mutant = request;
  for (let times = 1 + random.below(4); times > 0; times -= 1)
    mutant = random.oneOf(mutations)(mutant, random);
  return mutant;
}

type Mutation = (request: FuzzRequest, random: Random) => FuzzRequest;

const mutations: readonly [Mutation, ...Mutation[]] = [
  onBody(flipped),
  onBody(cut),
  onBody((body, random) => splice(body, Buffer.from(anyJson(random)), random)),
  onBody((body, random) => splice(body, Buffer.from(anyText(random)), random)),
  onBody(swapValue),
  onBody(swapValue),
  onBody((_, random) => Buffer.from(anyJson(random))),
  onBody((body) => Buffer.concat([body, body])),
  onBody((body, random) => Buffer.concat(Array.from({ length: random.below(30) }, () => body))),
  onBody(() => Buffer.alloc(0)),
  compressed,
  compressed,
  changedHeader,
  changedHeader,
  changedQuery,
  (request, random) => ({
    ...request,
    method: random.oneOf(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']),
  }),
  (request, random) => ({
    ...request,
    target: request.target.replace(/(?<=\/)[^/?]*(?=[/?]|$)/, () =>
      encodeURIComponent(Buffer.from(anyText(random)).toString()),
    ),
  }),
];

/** Beyond it a body is left as it is: mutating it takes longer than refusing it. */
const mutatedBytesMax = 65_536;

function onBody(change: (body: Buffer, random: Random) => Buffer): Mutation {
  return (request, random) =>
    request.body === undefined || request.body.length > mutatedBytesMax
      ? request
      : { ...request, body: change(request.body, random) };
}

function splice(body: Buffer, piece: Buffer, random: Random): Buffer {
  const at = random.below(body.length + 1);
  const behind = Math.min(body.length, at + random.below(20));
  return Buffer.concat([body.subarray(0, at), piece, body.subarray(behind)]);
}

/** One value of a JSON text becomes another: the text stays JSON more often than not. */
function swapValue(body: Buffer, random: Random): Buffer {
  const text = body.toString('utf8');
  const values = [...text.matchAll(/(?<=[:[,]\s*)("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)/g)];
  const value = values[random.below(values.length)];
  if (value === undefined) return body;
  return Buffer.from(
    text.slice(0, value.index) + anyJson(random) + text.slice(value.index + value[0].length),
  );
}

function compressed(request: FuzzRequest, random: Random): FuzzRequest {
  const { body } = request;
  if (body === undefined) return request;
  const [name, squeeze] = random.oneOf([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', (bytes: Buffer) => bytes],
    ['identity', (bytes: Buffer) => bytes],
    ['gzip, br', gzipSync],
  ]);
  // Now and then a bomb.
  const bytes = squeeze(random.below(50) === 0 ? Buffer.alloc(1 << (20 + random.below(5)), 32) : body);
  const broken = random.below(3) === 0 ? random.oneOf([flipped, cut])(bytes, random) : bytes;
  const header: Header = ['content-encoding', name];
  if (random.below(4) === 0)
    return { ...withQuery(request, `encoding=${encodeURIComponent(name)}`), body: broken };
  return { ...request, headers: [...request.headers, header], body: broken };
}

const names = [
  'content-type',
  'content-encoding',
  'accept',
  'accept-encoding',
  'authorization',
  'origin',
  'referer',
  'user-agent',
  'cookie',
  'expect',
  'upgrade',
  'connection',
  'range',
  'if-none-match',
  'last-event-id',
  'tidemark-sent-at',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-http-method-override',
  'access-control-request-method',
  'access-control-request-headers',
  'ce-specversion',
  'ce-id',
  'ce-source',
  'ce-type',
  'ce-time',
  'ce-partitionkey',
  'anonymousid',
  'sentat',
  '__proto__',
  'x-a',
] as const;

const values = [
  '',
  ' ',
  '*',
  'application/json',
  'text/plain',
  'application/x-ndjson',
  'application/cloudevents+json',
  'text/event-stream',
  'multipart/form-data; boundary=x',
  'a/b; c="',
  'gzip',
  'Bearer',
  'Bearer ',
  'Basic',
  'Basic !!!!',
  'Basic Og==',
  'Bearer a b',
  'null',
  'https://shop.example.com',
  'http://[',
  '100-continue',
  'websocket',
  'upgrade',
  'keep-alive',
  'bytes=0-',
  '1.0',
  '2.0',
  '/shop',
  '2026-01-31T12:00:00Z',
  '-1',
  '999999999999999999999',
  '%ff%fe',
  '\xff\xfe',
  '\t',
  '(comment)',
  '"',
  "' or 1=1 --",
  'POST',
] as const;

function changedHeader(request: FuzzRequest, random: Random): FuzzRequest {
  const { headers } = request;
  const at = random.below(headers.length + 1);
  const kind = random.below(4);
  if (kind === 0) return { ...request, headers: headers.filter((_, i) => i !== at) };
  if (kind === 1 && headers[at] !== undefined) return { ...request, headers: [...headers, headers[at]] };
  const fresh: Header = [
    random.oneOf(names),
    random.below(8) === 0 ? 'x'.repeat(random.below(9_000)) : random.oneOf(values),
  ];
  return { ...request, headers: [...headers.slice(0, at), fresh, ...headers.slice(at)] };
}

function changedQuery(request: FuzzRequest, random: Random): FuzzRequest {
  const name = random.oneOf([
    'key',
    'sentAt',
    'offsetMs',
    'rttMs',
    'encoding',
    'name',
    'stream',
    'id',
    'eventKey',
    't',
    'limit',
    'cursor',
    'from',
    'until',
    'shard',
    'consumer',
    'a[b]',
    '__proto__',
  ]);
  const text = Buffer.from(anyText(random)).toString();
  const value =
    random.below(8) === 0
      ? random.oneOf(['%', '%zz', '%ff%fe', '%00', '+', '&&', '='])
      : encodeURIComponent(text.slice(0, 2_000));
  return withQuery(request, `${name}=${value}`);
}

function withQuery(request: FuzzRequest, more: string): FuzzRequest {
  return { ...request, target: `${request.target}${request.target.includes('?') ? '&' : '?'}${more}` };
}
