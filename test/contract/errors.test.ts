import { paths, type Problem, type ProblemCode, problems } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { problemSchema } from '../../collector/src/http/openapi.ts';
import { migrate } from '../../collector/src/store/migrate.ts';
import { serveCollector, type ServedCollector, testKeys } from '../harness/served-collector.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { startPrivatePostgres } from '../harness/private-postgres.ts';

let database: TestDatabase;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url, {
    environment: { TIDEMARK_LIMIT_BODY_BYTES: '5000', TIDEMARK_LIMIT_BATCH_EVENTS: '10' },
  });
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

/** Every problem has one shape, whoever makes it. */
async function expectProblem(response: Response, code: ProblemCode): Promise<Problem> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const body = problemSchema.parse(await response.json());
  expect(body).toMatchObject({ code, ...problems[code] });
  expect(response.status).toBe(body.status);
  expect(body.type).toBe(`urn:tidemark:problem:${code}`);
  expect(body.detail).not.toMatch(/\bat .*\.ts|select |insert |tidemark\./i);
  return body;
}

function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(collector.url + paths.events, {
    method: 'POST',
    headers: { authorization: `Bearer ${testKeys.write}`, 'content-type': 'application/json', ...headers },
    body,
  });
}

const batchOf = (events: number, name = 'n') => JSON.stringify({ events: Array(events).fill({ name }) });

describe('a request that cannot be taken', () => {
  test.each([
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['half of it', '{"events":[{"name":"a"}'],
    ['an array', '[{"name":"a"}]'],
    ['no events', '{"sentAt":"2026-01-01T00:00:00Z"}'],
    ['events that are no list', '{"events":{}}'],
    ['two documents', '{"events":[]} {}'],
    ['bytes that are not UTF-8', new Uint8Array([0x7b, 0xff, 0xfe, 0x7d])],
  ])('is malformed: %s', async (_, body) => {
    await expectProblem(await post(body), 'malformed');
  });

  test('is too large: the limit and what was sent are told', async () => {
    const announced = await expectProblem(await post(batchOf(1, 'x'.repeat(6_000))), 'body_too_large');
    expect(announced.limit).toBe(5_000);
    expect(announced.actual).toBeGreaterThan(6_000);
    const counted = await expectProblem(await post(batchOf(11)), 'batch_too_large');
    expect(counted).toMatchObject({ limit: 10, actual: 11 });
  });

  test('is too large, also where its length is not announced', async () => {
    const chunks = Array.from({ length: 100 }, () => new Uint8Array(1_000).fill(32));
    const request = new Request(collector.url + paths.events, {
      method: 'POST',
      headers: { authorization: `Bearer ${testKeys.write}`, 'content-type': 'application/json' },
      body: ReadableStream.from(chunks),
      duplex: 'half',
    });
    const response = await collector.app.request(request);
    expect(await expectProblem(response, 'body_too_large')).toMatchObject({ limit: 5_000 });
  });

  test.each([
    ['an unknown type', { 'content-type': 'application/xml' }],
    ['an unknown encoding', { 'content-encoding': 'compress' }],
  ])('has %s', async (_, headers) => {
    await expectProblem(await post(batchOf(1), headers), 'unsupported_media_type');
  });

  test.each([
    ['/v1/event', 'POST', 'not_found'],
    ['/', 'DELETE', 'not_found'],
    ['/v1/events/', 'POST', 'not_found'],
    ['/v1/streams/a/b/c', 'GET', 'not_found'],
    ['/v1/%E0%A4%A', 'GET', 'not_found'],
    ['/v1/events', 'GET', 'method_not_allowed'],
    ['/v1/time', 'POST', 'method_not_allowed'],
    ['/v1/streams/orders', 'PATCH', 'method_not_allowed'],
  ] as const)('is for nothing: %s %s', async (path, method, code) => {
    const response = await fetch(collector.url + path, { method });
    await expectProblem(response, code);
    expect(response.headers.has('allow')).toBe(code === 'method_not_allowed');
  });

  test.each([
    ['/v1/streams/none/events', 'stream_not_found'],
    ['/v1/streams/..%2F..%2Fetc/events', 'stream_not_found'],
    [`/v1/streams/${'x'.repeat(65)}/events`, 'stream_not_found'],
    ['/v1/streams/none', 'stream_not_found'],
    ['/v1/streams/none/events?limit=0', 'invalid_parameter'],
    ['/v1/streams/none/events?limit=1e3', 'invalid_parameter'],
    ['/v1/streams/none/events?from=yesterday', 'invalid_parameter'],
    ['/v1/streams/none/events?wait=31', 'invalid_parameter'],
    ["/v1/streams/none/events?cursor='--", 'invalid_cursor'],
  ] as const)('reads what is not there: %s', async (path, code) => {
    const response = await fetch(collector.url + path, {
      headers: { authorization: `Bearer ${testKeys.read}` },
    });
    await expectProblem(response, code);
  });
});

test('G3 while Postgres is away every request that needs it is told to come back, at once and later', async () => {
  const postgres = await startPrivatePostgres({ server: 'embedded' });
  onTestFinished(postgres.stop);
  await migrate(postgres.url);
  const away = await serveCollector(postgres.url);
  onTestFinished(away.stop);
  await postgres.kill();
  const requests: [string, RequestInit][] = [
    [
      paths.events,
      {
        method: 'POST',
        headers: { authorization: `Bearer ${testKeys.write}`, 'content-type': 'application/json' },
        body: batchOf(1),
      },
    ],
    ['/v1/streams', { headers: { authorization: `Bearer ${testKeys.read}` } }],
    // A key that has to be looked up.
    ['/v1/streams', { headers: { authorization: 'Bearer some-stored-key-0123456789' } }],
  ];
  for (const [path, init] of requests) {
    const response = await away.app.request(path, init);
    expect(response.status).toBe(503);
    expect(response.headers.get('tidemark-pressure')).toBe('1.00');
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    const { retryAfterMs } = await expectProblem(response, 'store_unavailable');
    expect(retryAfterMs).toBeGreaterThan(0);
  }
});
