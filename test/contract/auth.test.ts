import { type BatchReply, paths, type Problem } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKey, hashKey, type Role } from '../../collector/src/http/authenticate-key.ts';
import { createClock } from '../../collector/src/clock.ts';
import { keys } from '../../collector/src/store/schema.ts';
import { serveCollector, type ServedCollector, testKeys } from '../harness/served-collector.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url);
  for (const stream of ['orders', 'web.clicks', 'secrets']) await put(stream);
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

async function put(stream: string): Promise<void> {
  const response = await collector.app.request(`/v1/streams/${stream}`, {
    method: 'PUT',
    headers: bearer(testKeys.admin),
    body: '{"watermarkDelayMs":0}',
  });
  expect(response.status).toBe(200);
}

interface Scope {
  streams?: string[];
  origins?: string[];
  defaultStream?: string;
}

/** A stored key, as the administration makes them. */
async function storeKey(
  role: Role,
  scope: Scope = {},
): Promise<{ key: string; revoke: () => Promise<void> }> {
  const { key, hash } = createKey(role, createClock().randomBytes);
  const { control, query } = collector.database;
  await query.insert(keys).values({ hash, role, ...scope });
  return {
    key,
    revoke: async () => {
      await control`update tidemark.keys set revoked_at = tidemark.clock() where hash = ${hash}`;
    },
  };
}

async function idOf(key: string): Promise<string> {
  const [found] = await collector.database.control<{ key_id: string }[]>`
    select key_id from tidemark.keys where hash = ${hashKey(key)}`;
  return found?.key_id ?? '';
}

async function post(key: string, events: object[], headers: Record<string, string> = {}): Promise<Response> {
  return collector.app.request(paths.events, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...bearer(key), ...headers },
    body: JSON.stringify({ events }),
  });
}

const codeOf = async (response: Response): Promise<string> => ((await response.json()) as Problem).code;

interface Route {
  readonly method: string;
  /** As the collector names it; `places` fills it in. */
  readonly path: string;
  readonly needs: Role;
  readonly query?: string;
  readonly body?: object;
  /** The answer to whoever is allowed. Default: 200. */
  readonly answers?: number;
}

const consumer = '/v1/streams/:stream/consumers/:consumer';
const schema = '/v1/streams/:stream/schemas/:name';

const routes: readonly Route[] = [
  { method: 'POST', path: '/v1/events', needs: 'write', body: { events: [] } },
  { method: 'GET', path: '/v1/pixel.gif', needs: 'write', query: 'name=opened' },
  { method: 'GET', path: '/v1/streams', needs: 'read' },
  { method: 'GET', path: '/v1/streams/:stream/windows', needs: 'read', query: 'size=60s' },
  { method: 'GET', path: '/v1/streams/:stream/cursor', needs: 'read', query: 'at=2026-01-31T12:00:00Z' },
  { method: 'GET', path: '/v1/streams/:stream/events/:id', needs: 'read', answers: 404 },
  { method: 'GET', path: '/v1/streams/:stream', needs: 'read' },
  { method: 'GET', path: '/v1/streams/:stream/events', needs: 'read' },
  { method: 'PUT', path: '/v1/streams/:stream', needs: 'admin', body: {} },
  { method: 'DELETE', path: '/v1/streams/:stream', needs: 'admin' },
  { method: 'GET', path: '/v1/streams/:stream/consumers', needs: 'read' },
  { method: 'GET', path: consumer, needs: 'read' },
  { method: 'PUT', path: consumer, needs: 'read', body: {} },
  { method: 'DELETE', path: consumer, needs: 'read' },
  { method: 'POST', path: `${consumer}/lease`, needs: 'read', body: { member: 'one', ttlMs: 1_000 } },
  {
    method: 'DELETE',
    path: `${consumer}/lease`,
    needs: 'read',
    body: { member: 'one', shard: 0, generation: 1 },
  },
  {
    method: 'PUT',
    path: `${consumer}/shards/:shard/cursor`,
    needs: 'read',
    body: { cursor: 'none', generation: 1 },
    answers: 400,
  },
  { method: 'POST', path: `${consumer}/seek`, needs: 'read', body: { from: 'latest' } },
  { method: 'POST', path: '/v1/keys', needs: 'admin', body: { role: 'read' } },
  { method: 'GET', path: '/v1/keys', needs: 'admin' },
  { method: 'DELETE', path: '/v1/keys/:id', needs: 'admin' },
  { method: 'GET', path: '/v1/streams/:stream/schemas', needs: 'read' },
  { method: 'GET', path: schema, needs: 'read' },
  { method: 'PUT', path: schema, needs: 'admin', body: { mode: 'warn', schema: {} } },
  { method: 'DELETE', path: schema, needs: 'admin' },
  { method: 'POST', path: '/v1/streams/:stream/erase', needs: 'admin', body: { key: 'k' } },
  { method: 'GET', path: '/v1/dead-letters', needs: 'admin' },
  { method: 'POST', path: '/v1/dead-letters/replay', needs: 'admin', body: { ids: ['1'] } },
  { method: 'POST', path: '/v1/epoch', needs: 'admin' },
  { method: 'GET', path: '/metrics', needs: 'admin' },
];

const open = ['/livez', '/readyz', '/v1/time', '/openapi.json'];

/** What stands in a path for its parameters. */
const places: Record<string, string> = { stream: 'orders', consumer: 'reports', shard: '0', name: 'placed' };

/** Makes what the routes ask for, which one of them may have deleted. */
async function makePlaces(): Promise<void> {
  await put('orders');
  await collector.app.request('/v1/streams/orders/consumers/reports', {
    method: 'PUT',
    headers: bearer(testKeys.admin),
  });
  await collector.app.request('/v1/streams/orders/schemas/placed', {
    method: 'PUT',
    headers: bearer(testKeys.admin),
    body: '{"mode":"warn","schema":{}}',
  });
  const { key } = await storeKey('read');
  places['id'] = await idOf(key);
}

function ask({ method, path, query, body }: Route, headers: Record<string, string>): Promise<Response> {
  const filled = path.replace(/:(\w+)/g, (_, name: string) => places[name] ?? name);
  return Promise.resolve(
    collector.app.request(query === undefined ? filled : `${filled}?${query}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );
}

describe('G12 every route', () => {
  test('of the collector is one of these', () => {
    const known = [
      ...routes.map(({ method, path }) => `${method} ${path}`),
      ...open.map((path) => `GET ${path}`),
    ];
    const own = collector.app.routes.filter(({ method }) => method !== 'ALL' && method !== 'OPTIONS');
    expect(new Set(own.map(({ method, path }) => `${method} ${path}`))).toEqual(new Set(known));
  });

  test.each(routes)('$method $path asks for a $needs key', async (route) => {
    await makePlaces();
    const none = await ask(route, {});
    expect([none.status, none.headers.get('www-authenticate'), await codeOf(none)]).toEqual([
      401,
      'Bearer realm="tidemark"',
      'unauthenticated',
    ]);
    expect((await ask(route, bearer('test-other-key-0123456789'))).status).toBe(401);
    for (const role of ['write', 'read', 'admin'] as const) {
      const allowed = role === route.needs || role === 'admin';
      if (allowed) await makePlaces();
      const response = await ask(route, bearer(testKeys[role]));
      expect([role, response.status]).toEqual([role, allowed ? (route.answers ?? 200) : 403]);
      if (!allowed) expect(await codeOf(response)).toBe('forbidden');
    }
  });

  test.each(routes.filter(({ path, needs }) => path.includes(':stream') && needs !== 'admin'))(
    '$method $path asks for a key for its stream, whether there is one or not',
    async (route) => {
      await makePlaces();
      const { key } = await storeKey(route.needs, { streams: ['web.*'] });
      const response = await ask(route, bearer(key));
      expect([response.status, await codeOf(response)]).toEqual([403, 'forbidden']);
      const unmade = await ask({ ...route, path: route.path.replace(':stream', 'unmade') }, bearer(key));
      expect([unmade.status, await codeOf(unmade)]).toEqual([403, 'forbidden']);
      const { key: fitting } = await storeKey(route.needs, { streams: ['ord*'] });
      expect((await ask(route, bearer(fitting))).status).toBe(route.answers ?? 200);
    },
  );

  test.each(routes.filter(({ method }) => method === 'GET'))(
    'HEAD $path asks for the same',
    async (route) => {
      await makePlaces();
      const head = { ...route, method: 'HEAD' };
      const none = await ask(head, {});
      expect([none.status, await none.text()]).toEqual([401, '']);
      const other = route.needs === 'read' ? 'write' : 'read';
      expect((await ask(head, bearer(testKeys[other]))).status).toBe(403);
    },
  );

  test.each(open)('GET %s asks for none', async (path) => {
    expect((await collector.app.request(path)).status).toBe(200);
  });

  test('takes the key from the query too, and never logs it', async () => {
    const response = await collector.app.request(`/v1/streams?key=${testKeys.read}`);
    expect(response.status).toBe(200);
    const basic = Buffer.from(`${testKeys.read}:`).toString('base64');
    await collector.app.request('/v1/streams', { headers: { authorization: `Basic ${basic}` } });
    await collector.app.request(`/v1/nowhere?key=${testKeys.read}`);
    expect(collector.logged.some((line) => line.includes('/v1/streams'))).toBe(true);
    const all = collector.logged.join('');
    for (const key of [...Object.values(testKeys), basic]) expect(all).not.toContain(key);
  });
});

describe('G12 a key for some streams', () => {
  test('reads those and sees no others, whether they exist or not', async () => {
    const { key } = await storeKey('read', { streams: ['orders', 'web.*'] });
    const read = (path: string) => collector.app.request(path, { headers: bearer(key) });
    expect((await read('/v1/streams/orders/events')).status).toBe(200);
    expect((await read('/v1/streams/web.clicks')).status).toBe(200);
    expect((await read('/v1/streams/web.none')).status).toBe(404);
    for (const path of ['/v1/streams/secrets', '/v1/streams/secrets/events', '/v1/streams/unmade/events']) {
      expect((await read(path)).status).toBe(403);
    }
    const { streams } = (await (await read('/v1/streams')).json()) as { streams: { stream: string }[] };
    expect(streams.map(({ stream }) => stream)).toEqual(['orders', 'web.clicks']);
  });

  test('writes those, and has its other events rejected one by one', async () => {
    const { key } = await storeKey('write', { streams: ['orders', 'web.*'], defaultStream: 'orders' });
    const response = await post(key, [
      { id: 'a', name: 'placed' },
      { id: 'b', name: 'placed', stream: 'secrets' },
      { id: 'c', name: 'clicked', stream: 'web.clicks' },
    ]);
    expect(response.status).toBe(200);
    expect((await response.json()) as BatchReply).toMatchObject({
      accepted: 2,
      rejected: 1,
      results: [{ index: 1, id: 'b', status: 'rejected', code: 'stream_forbidden' }],
    });
  });
});

describe('G12 a key bound to origins', () => {
  test('works on pages of those alone, and a refused page can read why', async () => {
    const { key } = await storeKey('write', { origins: ['https://shop.example.com'] });
    const event = { id: 'origin', name: 'seen' };
    expect((await post(key, [event], { origin: 'https://shop.example.com' })).status).toBe(200);
    const refused = await post(key, [event], { origin: 'https://evil.example.com' });
    expect(refused.status).toBe(403);
    expect(refused.headers.get('access-control-allow-origin')).toBe('*');
    expect(await codeOf(refused)).toBe('forbidden');
    expect((await post(key, [event])).status).toBe(403);
  });
});

test('G12 a revoked key works for less than 5 s', async () => {
  const { key, revoke } = await storeKey('read');
  const status = async () => (await collector.app.request('/v1/streams', { headers: bearer(key) })).status;
  expect(await status()).toBe(200);
  await revoke();
  await eventually('the revoked key is refused', async () => (await status()) === 401, 5_000);
});

test('G12 a long poll ends within 5 s when its key is revoked, and says why', async () => {
  const { key, revoke } = await storeKey('read');
  const start = performance.now();
  const polling = collector.app.request('/v1/streams/orders/events?from=latest&wait=30', {
    headers: bearer(key),
  });
  const waiting = async () => {
    const metrics = await collector.app.request('/metrics', { headers: bearer(testKeys.admin) });
    return (await metrics.text()).includes('tidemark_readers_waiting 1');
  };
  await eventually('the poll waits', waiting);
  await revoke();
  const response = await polling;
  expect([response.status, await codeOf(response)]).toEqual([401, 'unauthenticated']);
  // Much less than it would have waited: the 5 s are shown by `unit`, whose clock does not depend on the machine.
  expect(performance.now() - start).toBeLessThan(20_000);
});
