import { gzipSync } from 'node:zlib';
import { formatTime, parseTime, type StoredEvent } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type RequestOptions,
  startTestCollector,
  type TestCollector,
  writeKey,
} from '../harness/collector.ts';

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector();
  await collector.request('/v1/streams/default', { method: 'PUT', body: { watermarkDelayMs: 0 } });
});

afterAll(() => collector.stop());

const hourMs = 3_600_000;
const startMicros = BigInt(Date.now()) * 1_000n;
const occurred = startMicros - 7_200_000_000n;
const sentAt = formatTime(startMicros - 3_600_000_000n);

/** Sends one event that happened two hours ago, and reads it back. */
function stored(query: Record<string, string | number>, envelope: object = {}): Promise<StoredEvent> {
  const events = [{ id: crypto.randomUUID(), name: 'tick', occurredAt: formatTime(occurred) }];
  return sendAndRead(query, { key: writeKey, body: { ...envelope, events } });
}

async function sendAndRead(
  query: Record<string, string | number>,
  request: RequestOptions,
): Promise<StoredEvent> {
  const { nextCursor } = await collector.read('default', 'from=latest');
  const texts = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]);
  const path = `/v1/events?${new URLSearchParams(texts).toString()}`;
  const reply = await collector.request(path, request);
  expect(reply.status).toBe(200);
  const [event] = (await collector.read('default', `cursor=${nextCursor}&wait=10`)).events;
  if (event === undefined) throw new Error('the event did not come');
  return event;
}

const corrected = ({ eventTime }: StoredEvent) => (parseTime(eventTime) ?? 0n) - occurred;

describe('the query of a batch', () => {
  test('tells what its sender knows of its clock', async () => {
    const event = await stored({ offsetMs: hourMs + 0.5, rttMs: 20 });
    expect(event.timeQuality).toBe('offset');
    expect(corrected(event)).toBe(3_600_000_500n);
  });

  test('tells when it was sent', async () => {
    const event = await stored({ sentAt });
    expect(event).toMatchObject({ sentAt, timeQuality: 'soft' });
    expect(corrected(event)).toBeGreaterThan(3_500_000_000n);
  });

  test('wins over the body', async () => {
    const event = await stored(
      { sentAt, offsetMs: 0, rttMs: 0 },
      { sentAt: '2001-01-01T00:00:00Z', clock: { offsetMs: hourMs, rttMs: 20 } },
    );
    expect(event).toMatchObject({ sentAt, timeQuality: 'offset' });
    expect(corrected(event)).toBe(0n);
  });

  test.each([
    { sentAt: 'yesterday', offsetMs: 'NaN', rttMs: 1 },
    { sentAt: '', offsetMs: '', rttMs: '' },
    { offsetMs: 5 },
    { offsetMs: 5, rttMs: -1 },
    { offsetMs: 'Infinity', rttMs: 1 },
  ])('leaves the body its say where it says nothing: %j', async (query) => {
    const event = await stored(query, { sentAt, clock: { offsetMs: hourMs, rttMs: 20 } });
    expect(event).toMatchObject({ sentAt, timeQuality: 'offset' });
    expect(corrected(event)).toBe(3_600_000_000n);
  });

  const happened = formatTime(occurred);
  const cloudEvent = { specversion: '1.0', source: '/a', type: 'tick', time: happened };
  test.each([
    ['text/plain', {}, () => JSON.stringify({ events: [{ name: 'tick', occurredAt: happened }] })],
    [
      'application/x-ndjson',
      { 'tidemark-sent-at': '2001-01-01T00:00:00Z' },
      () => JSON.stringify({ name: 'tick', occurredAt: happened }),
    ],
    ['application/cloudevents+json', {}, (id: string) => JSON.stringify({ ...cloudEvent, id })],
    ['application/cloudevents-batch+json', {}, (id: string) => JSON.stringify([{ ...cloudEvent, id }])],
    [
      'application/json',
      {
        'ce-specversion': '1.0',
        'ce-id': 'binary',
        'ce-source': '/a',
        'ce-type': 'tick',
        'ce-time': happened,
      },
      () => '{}',
    ],
  ] as const)('is asked in every format, the key and the encoding too: %s', async (type, headers, body) => {
    const event = await sendAndRead(
      { key: writeKey, encoding: 'gzip', sentAt, offsetMs: hourMs, rttMs: 20 },
      {
        key: null,
        headers: { 'content-type': type, ...headers },
        body: new Uint8Array(gzipSync(body(crypto.randomUUID()))),
      },
    );
    expect(event).toMatchObject({ name: 'tick', sentAt, timeQuality: 'offset' });
    expect(corrected(event)).toBe(3_600_000_000n);
  });

  test('G4 tells what the client has given up, which is counted by reason when the batch is taken', async () => {
    const told = { queue_full: 3, opted_out: 2, made_up: 9, expired: -1, closed: 1.5, invalid: '4' };
    const send = (dropped: unknown, events: unknown = [{ name: 'tick' }]) =>
      collector.request(`/v1/events?${new URLSearchParams({ dropped: String(dropped) }).toString()}`, {
        key: writeKey,
        body: { events },
      });
    expect((await send(JSON.stringify(told))).status).toBe(200);
    for (const unreadable of ['{', 'null', '7', '[]', '']) expect((await send(unreadable)).status).toBe(200);
    expect((await send('{"queue_full":5}', 'none')).status).toBe(400);
    expect((await send('{"queue_full":1}')).status).toBe(200);
    const metrics = await (await collector.request('/metrics')).text();
    const counted = metrics.split('\n').filter((line) => line.startsWith('tidemark_client_dropped_total'));
    expect(counted.sort()).toEqual([
      'tidemark_client_dropped_total{reason="opted_out"} 2',
      'tidemark_client_dropped_total{reason="queue_full"} 4',
    ]);
  });
});
