import type { StoredEvent } from '@tidemark/core/wire';
import { createConnection, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { openEventSource, type TestEventSource } from '../harness/event-source.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { type ServedCollector, serveCollector, testKeys } from '../harness/served-collector.ts';

let database: TestDatabase;
let collector: ServedCollector;
let streams = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url);
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

async function ask(
  path: string,
  key: string,
  method: string,
  body?: object,
  to = collector,
): Promise<Response> {
  const reply = await fetch(`${to.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  return reply;
}

async function makeStream(): Promise<string> {
  const stream = `live-${++streams}`;
  await ask(`/v1/streams/${stream}`, testKeys.admin, 'PUT', { watermarkDelayMs: 0 });
  return stream;
}

const post = (stream: string, ids: readonly string[], props = {}) =>
  ask('/v1/events', testKeys.write, 'POST', { events: ids.map((id) => ({ id, stream, name: 'x', props })) });

async function open(
  path: string,
  headers: Record<string, string> = {},
  key: string = testKeys.read,
): Promise<TestEventSource> {
  const source = await openEventSource(`${collector.url}${path}`, key, headers);
  onTestFinished(() => source.close());
  return source;
}

const idsOf = (source: TestEventSource) => source.events.map(({ id }) => id);
const names = (source: TestEventSource) => source.messages.map(({ event }) => event);

describe('a live read', () => {
  test('gives what is there, and then what comes, each event once', async () => {
    const stream = await makeStream();
    await post(stream, ['a', 'b']);
    const source = await open(`/v1/streams/${stream}/events`);
    expect(source.status).toBe(200);
    expect(source.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(source.headers.get('x-accel-buffering')).toBe('no');
    expect(source.headers.get('cache-control')).toBe('no-store');
    await eventually('the first ones', () => idsOf(source).length === 2);
    for (const id of ['c', 'd', 'e']) await post(stream, [id]);
    await eventually('the others', () => idsOf(source).length === 5);
    expect(idsOf(source)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(source.retryMs()).toBeGreaterThanOrEqual(500);
  });

  test('G6 goes on exactly where it was cut off: Last-Event-ID wins over the address', async () => {
    const stream = await makeStream();
    await post(stream, ['a', 'b', 'c', 'd', 'e', 'f']);
    const path = `/v1/streams/${stream}/events?limit=2&from=earliest`;
    const seen: string[] = [];
    let last: string | undefined;
    for (let turn = 0; seen.length < 6; turn++) {
      expect(turn).toBeLessThan(20);
      const source = await open(path, last === undefined ? {} : { 'last-event-id': last });
      await eventually('some more', () => idsOf(source).length >= Math.min(2, 6 - seen.length));
      source.close();
      // What a client had whole when it was cut off; the rest it has never seen.
      const message = source.messages.find(({ event }) => event === 'events');
      seen.push(...(JSON.parse(message?.data ?? '[]') as StoredEvent[]).map(({ id }) => id));
      last = message?.id;
    }
    expect(seen).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  test('tells the watermark at once, with a place to go on from', async () => {
    const stream = await makeStream();
    const source = await open(`/v1/streams/${stream}/events?from=latest`);
    await eventually('a watermark', () => names(source).includes('watermark'));
    const message = source.messages.find(({ event }) => event === 'watermark');
    expect(JSON.parse(message?.data ?? '')).toMatchObject({ behindMs: 0 });
    const again = await open(`/v1/streams/${stream}/events`, { 'last-event-id': message?.id ?? '' });
    await post(stream, ['after']);
    await eventually('the event', () => idsOf(again).length === 1);
  });

  test('ends with bye when all up to `until` was given', async () => {
    const stream = await makeStream();
    const reply = (await (await post(stream, ['a'])).json()) as { respondedAt: string };
    await post(stream, ['b']);
    const source = await open(`/v1/streams/${stream}/events?until=${reply.respondedAt}`);
    await source.ended;
    expect(idsOf(source)).toEqual(['a']);
    expect(names(source).at(-1)).toBe('bye');
  });

  test('that cannot begin is a problem with a status', async () => {
    const stream = await makeStream();
    expect((await open(`/v1/streams/${stream}/events`, { 'last-event-id': 'nonsense' })).status).toBe(400);
    expect((await open(`/v1/streams/${stream}/events`, {}, testKeys.write)).status).toBe(403);
  });

  test('ends with a problem when its stream is deleted', async () => {
    const stream = await makeStream();
    const source = await open(`/v1/streams/${stream}/events`);
    await eventually('it has begun', () => source.messages.length > 0);
    await ask(`/v1/streams/${stream}`, testKeys.admin, 'DELETE');
    await eventually('it has ended', () => names(source).at(-1) === 'problem', 20_000);
    expect(JSON.parse(source.messages.at(-1)?.data ?? '')).toMatchObject({ code: 'stream_not_found' });
    await source.ended;
  });

  test('G12 ends within 5 s when its key is revoked', async () => {
    const stream = await makeStream();
    const made = await ask('/v1/keys', testKeys.admin, 'POST', { role: 'read' });
    const { id, key } = (await made.json()) as { id: string; key: string };
    const source = await open(`/v1/streams/${stream}/events`, {}, key);
    await eventually('it has begun', () => source.messages.length > 0);
    await ask(`/v1/keys/${id}`, testKeys.admin, 'DELETE');
    const revokedMs = performance.now();
    await source.ended;
    expect(performance.now() - revokedMs).toBeLessThan(5_000);
    expect(JSON.parse(source.messages.at(-1)?.data ?? '')).toMatchObject({ code: 'unauthenticated' });
  });

  test('is sent away with bye when the collector closes', async () => {
    const other = await serveCollector(database.url);
    const stream = await makeStream();
    const source = await openEventSource(`${other.url}/v1/streams/${stream}/events`, testKeys.read);
    await eventually('it has begun', () => source.messages.length > 0);
    await Promise.all([other.stop(), source.ended]);
    expect(names(source).at(-1)).toBe('bye');
    expect(source.retryMs()).toBeGreaterThanOrEqual(500);
  });
});

test('G5 HEAD opens nothing that would have to be closed', async () => {
  const stream = await makeStream();
  const other = await serveCollector(database.url, { environment: { TIDEMARK_LIMIT_OPEN_READS: '1' } });
  onTestFinished(() => other.stop());
  for (const accept of ['text/event-stream', 'application/x-ndjson', 'text/event-stream']) {
    const reply = await fetch(`${other.url}/v1/streams/${stream}/events`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${testKeys.read}`, accept },
    });
    expect([reply.status, reply.headers.get('content-type')?.split(';')[0]]).toEqual([200, accept]);
  }
});

describe('readers that stand still', () => {
  test('hold up nobody else', async () => {
    const stream = await makeStream();
    for (let batch = 0; batch < 8; batch++) {
      const ids = Array.from({ length: 50 }, (_, index) => `${batch}-${index}`);
      await post(stream, ids, { filling: 'x'.repeat(2_000) });
    }
    const stalled = await Promise.all(Array.from({ length: 40 }, () => openStalled(stream)));
    onTestFinished(() => {
      for (const socket of stalled) socket.destroy();
    });
    await eventually('all of them have been answered', () => stalled.every((socket) => socket.bytesRead > 0));
    const moving = await open(`/v1/streams/${stream}/events`);
    await eventually('the other one has everything', () => idsOf(moving).length === 400);
  });
});

/** A client that asks for a live read and then takes nothing. */
async function openStalled(stream: string): Promise<Socket> {
  const { hostname, port } = new URL(collector.url);
  const socket = createConnection({ host: hostname, port: Number(port) });
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    socket.once('connect', () => resolve());
  });
  socket.write(
    `GET /v1/streams/${stream}/events HTTP/1.1\r\nHost: collector\r\nAccept: text/event-stream\r\n` +
      `Authorization: Bearer ${testKeys.read}\r\n\r\n`,
  );
  socket.once('readable', () => socket.read(1));
  return socket;
}
