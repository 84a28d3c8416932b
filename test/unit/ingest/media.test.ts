import { gzipSync } from 'node:zlib';
import { parseTime } from '@tidemark/core/wire';
import { describe, expect, test } from 'vitest';
import { chooseMedia, decodeBody, type Media } from '../../../collector/src/ingest/media.ts';
import { batchIn, contextWith, eventIn, problemIn } from './decoded.ts';

function choose(headers: Record<string, string>, encoding?: string): Media {
  const chosen = chooseMedia({ header: (name) => headers[name], encoding });
  if (!chosen.ok) throw new Error(chosen.problem.detail);
  return chosen.media;
}

function refusal(headers: Record<string, string>, encoding?: string) {
  const chosen = chooseMedia({ header: (name) => headers[name], encoding });
  if (chosen.ok) throw new Error('chosen');
  return chosen.problem;
}

describe('how a body is read', () => {
  test.each([
    [undefined, 'json'],
    ['application/json', 'json'],
    ['Application/JSON ; charset=UTF-8', 'json'],
    ['text/plain', 'json'],
    ['text/plain;charset=UTF-8', 'json'],
    ['application/x-ndjson', 'ndjson'],
    ['application/x-ndjson; charset=utf-8', 'ndjson'],
    ['application/cloudevents+json', 'cloudEvent'],
    ['application/cloudevents+json; charset=utf-8', 'cloudEvent'],
    ['application/cloudevents-batch+json', 'cloudEvents'],
  ])('Content-Type %s: %s', (type, format) => {
    expect(choose(type === undefined ? {} : { 'content-type': type }).format).toBe(format);
  });

  test('with CloudEvents headers it is data, whatever its type', () => {
    for (const type of ['application/json', 'image/png', 'application/x-ndjson'])
      expect(choose({ 'content-type': type, 'ce-specversion': '1.0' }).format).toBe('binaryCloudEvent');
    const both = { 'content-type': 'application/cloudevents+json', 'ce-specversion': '1.0' };
    expect(choose(both).format).toBe('cloudEvent');
  });

  test.each([
    'application/x-www-form-urlencoded',
    'application/cloudevents+avro',
    'application/cloudevents',
    'multipart/form-data',
    'application/xml',
    'constructor',
    '__proto__',
  ])('Content-Type %s is refused', (type) => {
    expect(refusal({ 'content-type': type })).toEqual({
      code: 'unsupported_media_type',
      detail: `Content-Type ${JSON.stringify(type)} is not understood: send application/json or application/x-ndjson`,
    });
  });

  test('the encoding of the query wins over the header', () => {
    expect(choose({ 'content-encoding': 'br' }).encoding).toBe('br');
    expect(choose({ 'content-encoding': 'br' }, 'gzip').encoding).toBe('gzip');
    expect(choose({}, 'gzip').encoding).toBe('gzip');
    expect(choose({}).encoding).toBe('identity');
  });

  test.each(['compress', 'gzip, gzip', 'gzip;q=1', 'aws-chunked'])(
    'Content-Encoding %s is refused',
    (encoding) => {
      expect(refusal({ 'content-encoding': encoding }).code).toBe('unsupported_media_type');
      expect(refusal({}, encoding).code).toBe('unsupported_media_type');
    },
  );
});

describe('a body', () => {
  const json = '{"events":[{"name":"a"}]}';
  const decode = (headers: Record<string, string>, body: string | Uint8Array, encoding?: string) =>
    decodeBody(
      Buffer.from(body),
      choose(headers, encoding),
      Object.entries(headers),
      contextWith({ inflatedBytes: 1_000 }),
    );

  test('is inflated as its encoding says', () => {
    expect(eventIn(decode({ 'content-encoding': 'gzip' }, gzipSync(json))).name).toBe('a');
    expect(eventIn(decode({}, gzipSync(json), 'gzip')).name).toBe('a');
    expect(
      eventIn(decode({ 'content-type': 'application/x-ndjson' }, gzipSync('{"name":"a"}\n'), 'gzip')).name,
    ).toBe('a');
    expect(problemIn(decode({}, gzipSync(json))).code).toBe('malformed');
    expect(problemIn(decode({ 'content-encoding': 'gzip' }, json)).code).toBe('malformed');
  });

  test('of text/plain may be gzip without saying so', () => {
    const plain = { 'content-type': 'text/plain;charset=UTF-8' };
    expect(eventIn(decode(plain, gzipSync(json))).name).toBe('a');
    expect(eventIn(decode(plain, json)).name).toBe('a');
    expect(problemIn(decode(plain, gzipSync(Buffer.alloc(1_001)))).code).toBe('body_too_large');
  });

  test('is too large when it inflates beyond the limit', () => {
    expect(problemIn(decode({ 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(1_001))))).toEqual({
      code: 'body_too_large',
      detail: 'the body is larger than 1000 bytes when inflated: send it in parts',
      limit: 1_000,
      actual: 1_001,
    });
  });

  test('of NDJSON was sent when the header says', () => {
    const headers = { 'content-type': 'application/x-ndjson', 'tidemark-sent-at': '2026-01-31T23:59:59Z' };
    expect(batchIn(decode(headers, '')).sentAt).toBe(parseTime('2026-01-31T23:59:59Z'));
  });
});
