import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import type { Page } from '@tidemark/core/wire';
import { CloudEvent, HTTP } from 'cloudevents';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCollector, type TestCollector, writeKey } from '../harness/collector.ts';

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector();
  await collector.request('/v1/streams/formats', { method: 'PUT', body: { watermarkDelayMs: 0 } });
});

afterAll(() => collector.stop());

interface Sent {
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Record<string, string>;
  readonly query?: string;
  readonly key?: string | null;
}

/** Sends a body of two events, `one` and `two`, and reads them back. */
async function sendAndRead({
  body,
  headers = {},
  query = '',
  key = writeKey,
}: Sent): Promise<Page['events']> {
  const { nextCursor } = await collector.read('formats', 'from=latest');
  const reply = await collector.request(`/v1/events?${query}`, { key, body, headers });
  expect(await reply.json()).toMatchObject({ accepted: 2, rejected: 0 });
  return (await collector.read('formats', `cursor=${nextCursor}&wait=10`)).events;
}

/** A key whose events go to a stream of their own: CloudEvents name none. */
async function keyFor(defaultStream: string): Promise<string> {
  const made = await collector.request('/v1/keys', { body: { role: 'write', defaultStream } });
  return ((await made.json()) as { key: string }).key;
}

const event = (name: string) => ({ stream: 'formats', name, props: { text: 'é 事件' } });
const batch = JSON.stringify({ events: [event('one'), event('two')] });
const zipped = (bytes: Buffer): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);

describe('a batch may come as', () => {
  const cases: readonly (readonly [string, Sent])[] = [
    [
      'text/plain with the key in the query, which costs no preflight',
      {
        body: batch,
        headers: { 'content-type': 'text/plain;charset=UTF-8' },
        query: `key=${writeKey}`,
        key: null,
      },
    ],
    ['gzip', { body: zipped(gzipSync(batch)), headers: { 'content-encoding': 'gzip' } }],
    ['deflate', { body: zipped(deflateSync(batch)), headers: { 'content-encoding': 'deflate' } }],
    ['br', { body: zipped(brotliCompressSync(batch)), headers: { 'content-encoding': 'br' } }],
    [
      'gzip that only the query names',
      { body: zipped(gzipSync(batch)), headers: { 'content-type': 'text/plain' }, query: 'encoding=gzip' },
    ],
    [
      'gzip as text/plain that nothing names',
      { body: zipped(gzipSync(batch)), headers: { 'content-type': 'text/plain' } },
    ],
    [
      'NDJSON',
      {
        body: `${JSON.stringify(event('one'))}\n\n${JSON.stringify(event('two'))}\n`,
        headers: { 'content-type': 'application/x-ndjson', 'tidemark-sent-at': '2026-01-01T00:00:00Z' },
      },
    ],
  ];

  test.each(cases)('%s', async (_title, sent) => {
    const events = await sendAndRead(sent);
    expect(events.map(({ name, props }) => [name, props])).toEqual([
      ['one', { text: 'é 事件' }],
      ['two', { text: 'é 事件' }],
    ]);
    if (sent.headers?.['tidemark-sent-at'] !== undefined) {
      expect(events[0]?.sentAt).toBe('2026-01-01T00:00:00.000000Z');
    }
  });

  test('CloudEvents, structured and binary', async () => {
    const cloudEvent = new CloudEvent({
      type: 'com.example.order.placed',
      source: '/shop',
      id: '17',
      subject: 'user-7',
      time: '2026-01-31T12:00:00.000Z',
      data: { total: 12.5 },
    });
    for (const message of [HTTP.structured(cloudEvent), HTTP.binary(cloudEvent)]) {
      const reply = await collector.request('/v1/events', {
        key: writeKey,
        body: String(message.body),
        headers: message.headers as Record<string, string>,
      });
      expect(await reply.json()).toMatchObject({ rejected: 0 });
    }
    const { events } = await collector.read('default', 'wait=20');
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      name: 'com.example.order.placed',
      key: 'user-7',
      occurredAt: '2026-01-31T12:00:00.000000Z',
    });
  });

  test('CloudEvents in a batch', async () => {
    const { nextCursor } = await collector.read('formats', 'from=latest');
    const cloudEvents = ['one', 'two'].map(
      (type) => new CloudEvent({ type, source: '/shop', id: `batch-${type}`, data: { text: 'é' } }),
    );
    const reply = await collector.request('/v1/events', {
      key: await keyFor('formats'),
      body: JSON.stringify(cloudEvents),
      headers: { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' },
    });
    expect(await reply.json()).toMatchObject({ accepted: 2, rejected: 0 });
    const { events } = await collector.read('formats', `cursor=${nextCursor}&wait=10`);
    expect(events.map(({ name }) => name)).toEqual(['one', 'two']);
    for (const { props } of events) expect(props).toMatchObject({ data: { text: 'é' } });
  });

  test('a pixel', async () => {
    const { nextCursor } = await collector.read('formats', 'from=latest');
    const query = `key=${writeKey}&stream=formats&name=opened&id=mail-1&eventKey=user-7&t=2026-01-31T12:00:00Z&campaign=spring`;
    const reply = await collector.request(`/v1/pixel.gif?${query}`, { key: null });
    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toBe('image/gif');
    expect(reply.headers.get('cache-control')).toBe('no-store');
    expect(Buffer.from(await reply.arrayBuffer()).toString('latin1', 0, 6)).toBe('GIF89a');
    const { events } = await collector.read('formats', `cursor=${nextCursor}&wait=10`);
    expect(events).toMatchObject([
      {
        id: 'mail-1',
        name: 'opened',
        key: 'user-7',
        occurredAt: '2026-01-31T12:00:00.000000Z',
        props: { campaign: 'spring' },
      },
    ]);
  });
});

describe('what cannot be read', () => {
  test.each([
    [
      'broken gzip',
      { body: new Uint8Array([0x1f, 0x8b, 1, 2, 3]), headers: { 'content-encoding': 'gzip' } },
      400,
      'malformed',
    ],
    [
      'a bomb',
      { body: zipped(gzipSync(Buffer.alloc(32 * 1_048_576, 32))), headers: { 'content-encoding': 'gzip' } },
      413,
      'body_too_large',
    ],
    [
      'encodings on top of each other',
      { body: batch, headers: { 'content-encoding': 'gzip, br' } },
      415,
      'unsupported_media_type',
    ],
  ] as const)('G3 %s is refused', async (_title, { body, headers }, status, code) => {
    const reply = await collector.request('/v1/events', { key: writeKey, body, headers });
    expect(reply.status).toBe(status);
    expect(await reply.json()).toMatchObject({ code });
  });

  test('a broken line of NDJSON rejects only itself', async () => {
    const reply = await collector.request('/v1/events', {
      key: writeKey,
      body: `{"stream":"formats","name":"one"}\n{"stream":\n{"stream":"formats","name":"two"}`,
      headers: { 'content-type': 'application/x-ndjson' },
    });
    expect(await reply.json()).toMatchObject({
      accepted: 2,
      rejected: 1,
      results: expect.arrayContaining([expect.objectContaining({ index: 1, code: 'invalid_json' })]),
    });
  });

  test('a pixel without a name is refused', async () => {
    const reply = await collector.request(`/v1/pixel.gif?key=${writeKey}`, { key: null });
    expect(reply.status).toBe(400);
  });
});
