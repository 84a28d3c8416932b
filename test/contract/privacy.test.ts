import type { StoredEvent } from '@tidemark/core/wire';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { serveCollector, type ServedCollector, testKeys } from '../harness/served-collector.ts';

let database: TestDatabase;
/** One that believes proxies on this machine, and one that believes nobody. */
let behindProxy: ServedCollector;
let plain: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  behindProxy = await serveCollector(database.url, {
    environment: { TIDEMARK_TRUSTED_PROXIES: '127.0.0.0/8, ::1' },
  });
  plain = await serveCollector(database.url);
});

afterAll(async () => {
  await behindProxy.stop();
  await plain.stop();
  await database.drop();
});

async function put(stream: string, settings: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${plain.url}/v1/streams/${stream}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${testKeys.admin}` },
    body: JSON.stringify({ watermarkDelayMs: 0, ...settings }),
  });
  const body = (await response.json()) as Record<string, unknown>;
  expect([response.status, body]).toEqual([200, expect.anything()]);
  return body;
}

/** Sends an event, and says whether it was stored with an address or a user agent. */
async function send(
  collector: ServedCollector,
  stream: string,
  id: string,
  headers: Record<string, string> = {},
): Promise<void> {
  const { statusCode, body } = await request(`${collector.url}/v1/events`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${testKeys.write}`,
      'content-type': 'application/json',
      'user-agent': 'Browser/1.0 (test)',
      'x-forwarded-for': '203.0.113.77',
      ...headers,
    },
    body: JSON.stringify({ events: [{ id, stream, name: 'seen' }] }),
  });
  expect([statusCode, await body.json()]).toMatchObject([200, { accepted: 1 }]);
}

async function read(stream: string, count: number): Promise<ReadonlyMap<string, StoredEvent>> {
  let events: StoredEvent[] = [];
  await eventually(`${count} events of ${stream}`, async () => {
    const response = await fetch(`${plain.url}/v1/streams/${stream}/events`, {
      headers: { authorization: `Bearer ${testKeys.read}` },
    });
    ({ events } = (await response.json()) as { events: StoredEvent[] });
    return events.length === count;
  });
  return new Map(events.map((event) => [event.id, event]));
}

/** Other collectors know of a setting within seconds. */
async function untilKnown(
  collector: ServedCollector,
  stream: string,
  has: (event: StoredEvent) => boolean,
): Promise<void> {
  let tries = 0;
  await eventually(`the setting of ${stream} is known`, async () => {
    tries += 1;
    await send(collector, stream, `known-${tries}`);
    const event = (await read(stream, tries)).get(`known-${tries}`);
    return event !== undefined && has(event);
  });
}

describe('what is kept of the sender of an event', () => {
  test('is nothing, unless its stream asks', async () => {
    expect(await put('silent', {})).toMatchObject({ clientIp: 'never', userAgent: false });
    await send(behindProxy, 'silent', '1');
    await send(behindProxy, 'unmade', '1');
    for (const stream of ['silent', 'unmade']) {
      const event = (await read(stream, 1)).get('1') ?? {};
      expect(['ip' in event, 'userAgent' in event, 'erased' in event]).toEqual([false, false, false]);
    }
  });

  test('is its address, whole or its network, and its user agent, where its stream asks', async () => {
    const asked = { clientIp: 'whole', userAgent: true };
    expect(await put('whole', asked)).toMatchObject(asked);
    await untilKnown(behindProxy, 'whole', ({ ip }) => ip === '203.0.113.77');
    await put('network', { clientIp: 'truncated' });
    await untilKnown(behindProxy, 'network', ({ ip }) => ip === '203.0.113.0');
    await send(behindProxy, 'network', 'six', { 'x-forwarded-for': '2001:db8:1234:5678::9' });
    await send(behindProxy, 'whole', 'six', { 'x-forwarded-for': '2001:db8:1234:5678::9' });
    const seen = await eventsNamed('network', 'six');
    expect(seen.ip).toBe('2001:db8:1234::');
    expect('userAgent' in seen).toBe(false);
    expect(await eventsNamed('whole', 'six')).toMatchObject({
      ip: '2001:db8:1234:5678::9',
      userAgent: 'Browser/1.0 (test)',
    });
  });

  test('is the address of the connection where the proxy is not trusted', async () => {
    await put('direct', { clientIp: 'whole' });
    await untilKnown(plain, 'direct', ({ ip }) => ip === '127.0.0.1');
  });

  test('is no more than 512 characters of a user agent', async () => {
    await put('agents', { userAgent: true });
    await untilKnown(plain, 'agents', ({ userAgent }) => userAgent !== undefined);
    await send(plain, 'agents', 'long', { 'user-agent': 'x'.repeat(5_000) });
    expect((await eventsNamed('agents', 'long')).userAgent).toHaveLength(512);
  });

  test('is nothing from the moment on at which its stream does not ask any more, on every collector', async () => {
    await put('ending', { clientIp: 'whole', userAgent: true });
    await untilKnown(behindProxy, 'ending', ({ ip }) => ip !== undefined);
    await put('ending', { clientIp: 'never', userAgent: false });
    // This collector may not have heard of it yet.
    await send(behindProxy, 'ending', 'after');
    const event = await eventsNamed('ending', 'after');
    expect(['ip' in event, 'userAgent' in event]).toEqual([false, false]);
  });

  test('goes with the rest when its key is erased', async () => {
    await put('erased', { clientIp: 'whole', userAgent: true });
    await untilKnown(plain, 'erased', ({ ip }) => ip !== undefined);
    await plain.app.request('/v1/streams/erased/erase', {
      method: 'POST',
      headers: { authorization: `Bearer ${testKeys.admin}` },
      body: '{"key":"somebody else"}',
    });
    expect(await eventsNamed('erased', 'known-1')).not.toHaveProperty('erased');
  });

  test.each([{ clientIp: 'always' }, { userAgent: 'yes' }])(
    'a stream cannot ask for %j',
    async (settings) => {
      const response = await plain.app.request('/v1/streams/odd', {
        method: 'PUT',
        headers: { authorization: `Bearer ${testKeys.admin}` },
        body: JSON.stringify(settings),
      });
      expect(response.status).toBe(400);
    },
  );

  async function eventsNamed(stream: string, id: string): Promise<StoredEvent> {
    let found: StoredEvent | undefined;
    await eventually(`${id} of ${stream}`, async () => {
      const response = await fetch(`${plain.url}/v1/streams/${stream}/events`, {
        headers: { authorization: `Bearer ${testKeys.read}` },
      });
      const { events } = (await response.json()) as { events: StoredEvent[] };
      found = events.find((event) => event.id === id);
      return found !== undefined;
    });
    if (found === undefined) throw new Error('it was there');
    return found;
  }
});
