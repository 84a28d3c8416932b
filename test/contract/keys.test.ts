import { paths, type Problem } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { type CollectorProcess, startCollectorProcess } from '../harness/collector-process.ts';
import { eventually } from '../harness/eventually.ts';

interface Made {
  readonly id: string;
  readonly key: string;
}

interface Listed {
  readonly keys: readonly { readonly id: string; readonly revokedAt: string | null }[];
  readonly nextCursor: string | null;
}

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector();
});

afterAll(() => collector.stop());

async function make(body: object): Promise<Made> {
  const response = await collector.request(paths.keys, { body });
  expect(response.status).toBe(200);
  return (await response.json()) as Made;
}

async function list(query = ''): Promise<Listed> {
  return (await (await collector.request(`${paths.keys}?${query}`)).json()) as Listed;
}

const send = (key: string, events: object[], headers = {}): Promise<Response> =>
  collector.request(paths.events, { key, body: { events }, headers });

describe('a key that was made', () => {
  test('G12 does what its role, streams, origins and default stream say', async () => {
    const { key, id } = await make({
      role: 'write',
      streams: ['web.*'],
      origins: ['https://*.example.com'],
      defaultStream: 'web.all',
    });
    expect(key).toMatch(/^tm_write_/);
    const origin = { origin: 'https://shop.example.com' };
    expect((await send(key, [{ name: 'a' }])).status).toBe(403);
    const sent = await send(
      key,
      [
        { id: '1', name: 'a' },
        { id: '2', name: 'a', stream: 'orders' },
      ],
      origin,
    );
    expect(await sent.json()).toMatchObject({
      accepted: 1,
      results: [{ id: '2', code: 'stream_forbidden' }],
    });
    expect((await collector.request('/v1/streams/web.all')).status).toBe(200);
    expect((await list()).keys).toContainEqual(
      expect.objectContaining({
        id,
        role: 'write',
        streams: ['web.*'],
        origins: ['https://*.example.com'],
        quotas: { eventsPerSecond: null, bytesPerSecond: null },
        defaultStream: 'web.all',
      }),
    );
  });

  test('is above its quota with 429, when to come back, and nothing stored', async () => {
    const { key } = await make({ role: 'write', quotas: { eventsPerSecond: 2 } });
    const events = Array.from({ length: 100 }, (_, i) => ({ id: `q${i}`, stream: 'quota', name: 'a' }));
    expect(await (await send(key, events)).json()).toMatchObject({ accepted: 100 });
    const refused = await send(key, [{ id: 'more', stream: 'quota', name: 'a' }]);
    expect(refused.status).toBe(429);
    const { code, retryAfterMs = 0 } = (await refused.json()) as Problem;
    expect(code).toBe('rate_limited');
    expect(retryAfterMs).toBeGreaterThan(10_000);
    expect(Number(refused.headers.get('retry-after'))).toBe(Math.ceil(retryAfterMs / 1_000));
    const fresh = await make({ role: 'write' });
    expect(await (await send(fresh.key, [{ id: 'more', stream: 'quota', name: 'a' }])).json()).toMatchObject({
      accepted: 1,
    });
  });

  test('is never shown again, nor kept', async () => {
    const { key } = await make({ role: 'admin' });
    expect(JSON.stringify(await list('limit=1000'))).not.toContain(key.slice(-20));
  });

  test('is revoked once: again is the same, and another id is not found', async () => {
    const { id } = await make({ role: 'read' });
    const revoke = async (which: string) =>
      collector.request(`${paths.keys}/${encodeURIComponent(which)}`, { method: 'DELETE' });
    const first = await (await revoke(id)).json();
    expect(first).toEqual({ id, revokedAt: expect.stringMatching(/Z$/) });
    expect(await (await revoke(id)).json()).toEqual(first);
    for (const other of [
      '00000000-0000-4000-8000-000000000000',
      "'; drop table keys; --",
      id.toUpperCase(),
    ]) {
      const response = await revoke(other);
      expect([response.status, ((await response.json()) as Problem).code]).toEqual([404, 'key_not_found']);
    }
  });
});

test('a list goes on where the one before it ended, and has every key once', async () => {
  for (let i = 0; i < 5; i += 1) await make({ role: 'read' });
  const whole = await list('limit=1000');
  const ids: string[] = [];
  let page = await list('limit=2');
  ids.push(...page.keys.map(({ id }) => id));
  while (page.nextCursor !== null) {
    page = await list(`limit=2&cursor=${page.nextCursor}`);
    ids.push(...page.keys.map(({ id }) => id));
  }
  expect(ids).toEqual(whole.keys.map(({ id }) => id));
  expect(new Set(ids).size).toBe(ids.length);
  for (const query of ['limit=0', 'limit=1001', 'cursor=x', "cursor=' or 1=1"]) {
    const response = await collector.request(`${paths.keys}?${query}`);
    expect([query, response.status]).toEqual([query, 400]);
  }
});

test.each([
  ['no role', {}],
  ['an unknown role', { role: 'owner' }],
  ['an unknown field', { role: 'read', stream: 'orders' }],
  ['no streams at all', { role: 'read', streams: [] }],
  ['a stream that cannot be', { role: 'read', streams: ['a b'] }],
  ['too many streams', { role: 'read', streams: Array(101).fill('a') }],
  ['an origin with a path', { role: 'read', origins: ['https://example.com/'] }],
  ['an origin without a scheme', { role: 'read', origins: ['example.com'] }],
  ['a quota of nothing', { role: 'write', quotas: { eventsPerSecond: 0 } }],
  ['a quota that is no integer', { role: 'write', quotas: { bytesPerSecond: 1e12 } }],
  ['streams of an admin key', { role: 'admin', streams: ['orders'] }],
  ['a quota of a read key', { role: 'read', quotas: { eventsPerSecond: 1 } }],
  ['a default stream outside of its streams', { role: 'write', streams: ['a'], defaultStream: 'b' }],
  ['a text', '"write"'],
])('no key is made of %s', async (_, body) => {
  const before = (await list('limit=1000')).keys.length;
  const response = await collector.request(paths.keys, { body });
  expect([response.status, ((await response.json()) as Problem).code]).toEqual([400, 'invalid_parameter']);
  expect((await list('limit=1000')).keys).toHaveLength(before);
});

describe('two collectors on one database', () => {
  let first: CollectorProcess;
  let second: CollectorProcess;

  beforeAll(async () => {
    const environment = { DATABASE_URL: collector.databaseUrl };
    [first, second] = await Promise.all([
      startCollectorProcess({ environment }),
      startCollectorProcess({ environment }),
    ]);
  });

  afterAll(() => Promise.all([first.stop(), second.stop()]));

  test('G12 take a key at once, and none of them after it was revoked, open replies included', async () => {
    const { id, key } = await make({ role: 'read' });
    const headers = { authorization: `Bearer ${key}` };
    const statusAt = async ({ url }: CollectorProcess) =>
      (await fetch(`${url}${paths.streams}`, { headers })).status;
    expect(await Promise.all([first, second].map(statusAt))).toEqual([200, 200]);
    await collector.post([{ id: 'one', stream: 'two-collectors', name: 'a' }]);
    const polls = [first, second].map(({ url }) =>
      fetch(`${url}/v1/streams/two-collectors/events?from=latest&wait=30`, { headers }),
    );
    const waiting = async ({ url }: CollectorProcess) =>
      (await (await fetch(`${url}/metrics`)).text()).includes('tidemark_readers_waiting 1');
    for (const one of [first, second]) await eventually('the poll waits', () => waiting(one));

    await collector.request(`${paths.keys}/${id}`, { method: 'DELETE' });
    for (const one of [first, second])
      await eventually('the key is refused', async () => (await statusAt(one)) === 401, 5_000);
    for (const poll of await Promise.all(polls)) {
      expect([poll.status, ((await poll.json()) as Problem).code]).toEqual([401, 'unauthenticated']);
    }
  });
});
