import { defaultLimits, paths } from '@tidemark/core/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Operation } from '../../collector/src/http/openapi.ts';
import { eventsOperations } from '../../collector/src/http/openapi-events.ts';
import { serviceOperations } from '../../collector/src/http/openapi-service.ts';
import { streamsOperations } from '../../collector/src/http/openapi-streams.ts';
import { serveCollector, type ServedCollector, testKeys } from '../harness/served-collector.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url, {
    environment: { TIDEMARK_LIMIT_BATCH_EVENTS: '77' },
  });
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

interface Description {
  openapi: string;
  paths: Record<string, Record<string, { operationId: string; parameters?: { in: string; name: string }[] }>>;
}

async function readDescription(): Promise<Description> {
  const response = await collector.app.request('/openapi.json');
  expect(response.status).toBe(200);
  return (await response.json()) as Description;
}

test('the description has every route of the collector, and no other', async () => {
  const description = await readDescription();
  expect(description.openapi).toBe('3.1.0');
  const described = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const routed = collector.app.routes
    .filter(({ method }) => method !== 'ALL' && method !== 'OPTIONS')
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
  expect(new Set(described)).toEqual(new Set(routed));
});

test('the description is whole: references point somewhere, ids are unique, path parameters are declared', async () => {
  const description = await readDescription();
  const text = JSON.stringify(description);
  const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference = '']) => reference);
  expect(references.length).toBeGreaterThan(0);
  for (const reference of references) {
    const steps = reference.replace(/^#\//, '').split('/');
    const target = steps.reduce<unknown>(
      (at, step) => (at as Record<string, unknown> | undefined)?.[step],
      description,
    );
    expect([reference, typeof target]).toEqual([reference, 'object']);
  }
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation) => ({ path, ...operation })),
  );
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  for (const { path, parameters = [] } of operations) {
    const inPath = parameters.filter((one) => one.in === 'path').map(({ name }) => name);
    expect(inPath).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
  }
});

test('the description says the limits in force', async () => {
  expect(JSON.stringify(await readDescription())).toContain('"maxItems":77');
});

test('what is answered is what is described', async () => {
  const operations = [...eventsOperations(defaultLimits), ...streamsOperations, ...serviceOperations];
  const admin = { authorization: `Bearer ${testKeys.admin}`, 'content-type': 'application/json' };
  const requests: [string, string, { method?: string; body?: string }][] = [
    ['putStream', '/v1/streams/orders', { method: 'PUT', body: '{"watermarkDelayMs":0}' }],
    [
      'sendEvents',
      paths.events,
      {
        method: 'POST',
        body: JSON.stringify({
          sentAt: new Date().toISOString(),
          clock: { offsetMs: 1.5, rttMs: 20 },
          events: [
            {
              id: 'a',
              stream: 'orders',
              name: 'placed',
              key: 'k',
              occurredAt: new Date().toISOString(),
              props: { deep: [{ n: 1 }] },
            },
            { id: 'a', stream: 'orders', name: 'placed' },
            { stream: 'orders', name: 'placed' },
            { name: '' },
          ],
        }),
      },
    ],
    ['sendPixel', '/v1/pixel.gif?name=opened', {}],
    ['listStreams', '/v1/streams', {}],
    ['getStream', '/v1/streams/orders', {}],
    ['readEvents', '/v1/streams/orders/events?wait=5', {}],
    ['readWindows', '/v1/streams/orders/windows?size=1s&groupBy=name&wait=5', {}],
    ['getCursor', '/v1/streams/orders/cursor?at=2026-01-31T12:00:00Z', {}],
    ['getEvent', '/v1/streams/orders/events/a', {}],
    ['getTime', '/v1/time', {}],
    ['getLiveness', '/livez', {}],
    ['getReadiness', '/readyz', {}],
    ['getDescription', '/openapi.json', {}],
    ['getMetrics', '/metrics', {}],
    ['beginEpoch', '/v1/epoch', { method: 'POST' }],
    ['eraseKey', '/v1/streams/orders/erase', { method: 'POST', body: '{"key":"k"}' }],
    ['deleteStream', '/v1/streams/orders', { method: 'DELETE' }],
  ];
  expect(new Set(requests.map(([id]) => id))).toEqual(new Set(operations.map(({ id }) => id)));
  for (const [id, path, init] of requests) {
    const operation = operations.find((one) => one.id === id) as Operation;
    const sent = operation.body?.['application/json'];
    if (sent !== undefined && id !== 'sendEvents') sent.parse(JSON.parse(init.body ?? ''));
    const response = await collector.app.request(path, { ...init, headers: admin });
    expect([id, response.status]).toEqual([id, 200]);
    const type = response.headers.get('content-type')?.split(';')[0] ?? '';
    const schema = operation.reply[type];
    expect([id, type, schema !== undefined]).toEqual([id, type, true]);
    const text = await response.text();
    schema?.parse(type === 'application/json' ? JSON.parse(text) : text);
    if (id === 'readEvents') expect(JSON.parse(text).events).toHaveLength(2);
  }
});
