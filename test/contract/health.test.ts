import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../collector/src/store/migrate.ts';
import { serveCollector, type ServedCollector, testKeys } from '../harness/served-collector.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { startPrivatePostgres } from '../harness/private-postgres.ts';

let database: TestDatabase;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url);
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

describe('health', () => {
  test('needs no key', async () => {
    const live = await collector.app.request('/livez');
    expect([live.status, await live.json()]).toEqual([200, { live: true }]);
    const ready = await collector.app.request('/readyz');
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true }]);
    expect(ready.headers.get('cache-control')).toBe('no-store');
    const head = await collector.app.request('/readyz', { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  test('turns unready at once when the collector begins to close, while the process is live and serves', async () => {
    const other = await serveCollector(database.url);
    onTestFinished(other.stop);
    other.drain();
    const ready = await other.app.request('/readyz');
    expect(ready.status).toBe(503);
    expect(ready.headers.get('retry-after')).toBe('1');
    expect(await ready.json()).toMatchObject({ code: 'shutting_down', retryAfterMs: 1_000 });
    expect((await other.app.request('/livez')).status).toBe(200);
    expect((await other.app.request('/v1/time')).status).toBe(200);
  });

  test('turns unready while Postgres is away, and ready when it is back', async () => {
    const postgres = await startPrivatePostgres({ server: 'embedded' });
    onTestFinished(postgres.stop);
    await migrate(postgres.url);
    const other = await serveCollector(postgres.url);
    onTestFinished(other.stop);
    const statusIs = (status: number) => async () => (await other.app.request('/readyz')).status === status;
    await eventually('ready at first', statusIs(200));
    await postgres.kill();
    await eventually('unready', statusIs(503), 15_000);
    expect(await (await other.app.request('/readyz')).json()).toMatchObject({ code: 'store_unavailable' });
    expect((await other.app.request('/livez')).status).toBe(200);
    await postgres.restart();
    await eventually('ready again', statusIs(200), 15_000);
  });
});

describe('G12 metrics', () => {
  const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

  test('are given on loopback without a key', async () => {
    const { url } = collector;
    const response = await fetch(`${url}/metrics`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await response.text()).toContain('tidemark_events_accepted_total');
  });

  test('are not for pages of other origins, nor for what a proxy on this machine passes on', async () => {
    const { url } = collector;
    const page = await fetch(`${url}/metrics`, { headers: { Origin: 'https://evil.example.com' } });
    expect(page.headers.get('access-control-allow-origin')).toBeNull();
    const passedOn = await fetch(`${url}/metrics`, { headers: { 'x-forwarded-for': '203.0.113.7' } });
    expect(passedOn.status).toBe(401);
    const renamed = await collector.app.request('http://evil.example.com/metrics', {}, env('127.0.0.1'));
    expect(renamed.status).toBe(401);
  });

  test.each(['192.0.2.1', '::ffff:192.0.2.1', '2001:db8::1', '1270.0.0.1', ''])(
    'need the admin key from %j',
    async (address) => {
      const ask = (init: object) => collector.app.request('/metrics', init, env(address));
      expect((await ask({})).status).toBe(401);
      expect((await ask(bearer(testKeys.read))).status).toBe(403);
      expect((await ask(bearer(testKeys.write))).status).toBe(403);
      expect((await ask(bearer(testKeys.admin))).status).toBe(200);
    },
  );

  test.each(['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1'])('are given to %j', async (address) => {
    expect((await collector.app.request('/metrics', {}, env(address))).status).toBe(200);
  });

  function env(remoteAddress: string): object {
    return { incoming: { socket: { remoteAddress } } };
  }
});
