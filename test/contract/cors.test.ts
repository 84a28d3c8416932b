import { paths } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serveCollector, type ServedCollector, testKeys } from '../harness/served-collector.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

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

const list = (text: string | null) => new Set((text ?? '').toLowerCase().split(/, */));

describe('a preflight', () => {
  test.each([
    ['POST', paths.events],
    ['GET', paths.time],
    ['GET', '/v1/streams/orders/events'],
    ['PUT', '/v1/streams/orders'],
  ])('is answered without a key, and kept for two hours: %s %s', async (method, path) => {
    const response = await fetch(collector.url + path, {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://shop.example.com',
        'Access-Control-Request-Method': method,
        'Access-Control-Request-Headers': 'authorization,content-type',
      },
    });
    expect(response.status).toBe(204);
    expect(await response.text()).toBe('');
    expect(response.headers.has('content-type')).toBe(false);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('access-control-max-age')).toBe('7200');
    expect(response.headers.get('vary')).toBe('Origin');
    expect(list(response.headers.get('access-control-allow-methods'))).toContain(method.toLowerCase());
    const allowed = list(response.headers.get('access-control-allow-headers'));
    for (const name of [
      'authorization',
      'content-type',
      'content-encoding',
      'tidemark-sent-at',
      'anonymousid',
      'sentat',
      'x-retry-count',
    ]) {
      expect(allowed).toContain(name);
    }
    // Cookies are not looked at, and so not asked for: a page cannot borrow what a browser knows of somebody.
    expect(response.headers.get('access-control-allow-credentials')).toBeNull();
  });

  test('of a path that is not there is a 404', async () => {
    const response = await fetch(`${collector.url}/v1/nowhere`, {
      method: 'OPTIONS',
      headers: { Origin: 'https://shop.example.com', 'Access-Control-Request-Method': 'POST' },
    });
    expect(response.status).toBe(404);
  });
});

test.each([
  ['a stored batch', 200, { authorization: `Bearer ${testKeys.write}` }, '{"events":[]}'],
  ['a broken one', 400, { authorization: `Bearer ${testKeys.write}` }, '{"events":'],
  ['a stranger', 401, {}, '{"events":[]}'],
])(
  'a page can read the reply to %s, and when to come back and how full the collector is',
  async (_, status, headers, body) => {
    const response = await fetch(collector.url + paths.events, {
      method: 'POST',
      headers: { Origin: 'https://shop.example.com', 'content-type': 'application/json', ...headers },
      body,
    });
    expect(response.status).toBe(status);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    const exposed = list(response.headers.get('access-control-expose-headers'));
    expect(exposed).toContain('retry-after');
    expect(exposed).toContain('tidemark-pressure');
    expect(response.headers.get('tidemark-pressure')).toMatch(/^0\.\d\d$/);
    await response.body?.cancel();
  },
);
