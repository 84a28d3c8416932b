import type { Problem } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { schemasOperations } from '../../collector/src/http/openapi-schemas.ts';
import { startTestCollector, type TestCollector, writeKey } from '../harness/collector.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let collector: TestCollector;
/** Another one on the same database. */
let other: TestCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await startTestCollector({}, database.url);
  other = await startTestCollector({}, database.url);
});

afterAll(async () => {
  await collector.stop();
  await other.stop();
  await database.drop();
});

const totals = { type: 'object', required: ['total'], properties: { total: { type: 'number' } } };

async function makeStream(stream: string): Promise<void> {
  const response = await collector.request(`/v1/streams/${stream}`, {
    method: 'PUT',
    body: { watermarkDelayMs: 0 },
  });
  expect(response.status).toBe(200);
}

async function put(stream: string, name: string, body: object): Promise<Response> {
  return collector.request(`/v1/streams/${stream}/schemas/${encodeURIComponent(name)}`, {
    method: 'PUT',
    body,
  });
}

async function get(stream: string, name: string): Promise<Record<string, unknown>> {
  const response = await collector.request(`/v1/streams/${stream}/schemas/${encodeURIComponent(name)}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, unknown>;
}

const codeOf = async (response: Response) => [response.status, ((await response.json()) as Problem).code];

const operation = (id: string) => schemasOperations.find((one) => one.id === id);

let events = 0;

/** Sends one event, and says what became of it. */
async function send(to: TestCollector, stream: string, name: string, props: unknown): Promise<string> {
  events += 1;
  const { results } = await to.post([
    { id: `e${events}`, stream, name, ...(props === undefined ? {} : { props }) },
  ]);
  return results[0]?.code ?? 'accepted';
}

describe('a schema', () => {
  test('that is enforced rejects what does not match, on every collector within seconds; its neighbours are stored', async () => {
    await makeStream('orders');
    const response = await put('orders', 'placed', { mode: 'enforce', schema: totals });
    const body = (await response.json()) as object;
    expect([response.status, body]).toMatchObject([
      200,
      { stream: 'orders', name: 'placed', mode: 'enforce', schema: totals, warned: 0, rejected: 0 },
    ]);
    operation('putSchema')?.reply['application/json']?.parse(body);
    for (const one of [collector, other]) {
      await eventually(
        'the schema is enforced',
        async () => (await send(one, 'orders', 'placed', {})) === 'schema_mismatch',
        5_000,
      );
    }
    const reply = await other.post([
      { id: 'good', stream: 'orders', name: 'placed', props: { total: 1 } },
      { id: 'bad', stream: 'orders', name: 'placed', key: 'k', props: { total: '1' } },
      { id: 'free', stream: 'orders', name: 'paid', props: {} },
    ]);
    expect(reply).toMatchObject({
      accepted: 2,
      rejected: 1,
      results: [
        {
          index: 1,
          id: 'bad',
          status: 'rejected',
          code: 'schema_mismatch',
          message: 'props/total must be number',
        },
      ],
    });
    expect(await send(collector, 'orders', 'placed', undefined)).toBe('schema_mismatch');
  });

  test('what it rejected is a dead letter, and is stored by a replay when the schema allows it', async () => {
    await makeStream('letters');
    await put('letters', 'placed', { mode: 'enforce', schema: totals });
    await eventually(
      'the schema is enforced',
      async () => (await send(collector, 'letters', 'placed', {})) !== 'accepted',
    );
    const list = async () => {
      const response = await collector.request('/v1/dead-letters?stream=letters&code=schema_mismatch');
      return ((await response.json()) as { deadLetters: { raw: string }[] }).deadLetters;
    };
    await eventually('the dead letter is there', async () => (await list()).length > 0);
    const replay = async () => {
      const response = await collector.request('/v1/dead-letters/replay', { body: { stream: 'letters' } });
      return (await response.json()) as { stored: number; rejected: number };
    };
    expect(await replay()).toMatchObject({ stored: 0, rejected: 1 });
    await put('letters', 'placed', { mode: 'warn', schema: totals });
    await eventually('the replay is accepted', async () => (await replay()).stored === 1);
    expect(await list()).toEqual([]);
  });

  test('that warns stores what does not match, and counts it', async () => {
    await makeStream('warned');
    await put('warned', 'placed', { mode: 'warn', schema: totals });
    await eventually('an event is counted', async () => {
      expect(await send(collector, 'warned', 'placed', { total: 'much' })).toBe('accepted');
      return Number((await get('warned', 'placed'))['warned']) > 0;
    });
    const metrics = await (await collector.request('/metrics')).text();
    expect(metrics).toMatch(
      /tidemark_schema_mismatches_total\{stream="warned",name="placed",mode="warn"\} [1-9]/,
    );
    // Put anew, it begins to count anew.
    await put('warned', 'placed', { mode: 'warn', schema: {} });
    expect(await get('warned', 'placed')).toMatchObject({ warned: 0, rejected: 0, schema: {} });
  });

  test('does no harm to numbers, which are stored as they were sent', async () => {
    await makeStream('numbers');
    await put('numbers', 'n', { mode: 'enforce', schema: { properties: { n: { type: 'integer' } } } });
    await eventually(
      'the schema is enforced',
      async () => (await send(collector, 'numbers', 'n', { n: 'x' })) !== 'accepted',
    );
    const body =
      '{"events":[{"id":"big","stream":"numbers","name":"n","props":{"n":123456789012345678901234567890}}]}';
    const headers = { 'content-type': 'application/json' };
    expect(
      await (await collector.request('/v1/events', { key: writeKey, headers, body })).json(),
    ).toMatchObject({
      accepted: 1,
    });
    let text = '';
    await eventually('it can be read', async () => {
      text = await (await collector.request('/v1/streams/numbers/events')).text();
      return text.includes('"big"');
    });
    expect(text).toContain('"props":{"n":123456789012345678901234567890}');
  });

  test('is gone when it is deleted, and when its stream is', async () => {
    await makeStream('gone');
    await put('gone', 'a', { mode: 'enforce', schema: totals });
    await put('gone', 'b', { mode: 'enforce', schema: totals });
    for (const name of ['a', 'b'])
      await eventually('it is enforced', async () => (await send(other, 'gone', name, {})) !== 'accepted');
    const response = await collector.request('/v1/streams/gone/schemas/a', { method: 'DELETE' });
    expect(await response.json()).toEqual({ stream: 'gone', name: 'a', deleted: true });
    await eventually('it is forgotten', async () => (await send(other, 'gone', 'a', {})) === 'accepted');
    expect(await send(other, 'gone', 'b', {})).toBe('schema_mismatch');
    await collector.request('/v1/streams/gone', { method: 'DELETE' });
    await eventually(
      'it is gone with its stream',
      async () => (await send(other, 'gone', 'b', {})) === 'accepted',
    );
  });

  test('is known at once to a collector that starts', async () => {
    await makeStream('started');
    await put('started', 'placed', { mode: 'enforce', schema: totals });
    const third = await startTestCollector({}, database.url);
    expect(await send(third, 'started', 'placed', {})).toBe('schema_mismatch');
    await third.stop();
  });

  test('may be for events of any name, and is listed by name', async () => {
    await makeStream('names');
    const names = ['a/b', 'ä ö', '%2F?#', 'z'.repeat(128)];
    for (const name of names)
      expect((await put('names', name, { mode: 'warn', schema: {} })).status).toBe(200);
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const response = await collector.request(`/v1/streams/names/schemas?limit=3${query}`);
      const page = (await response.json()) as { schemas: { name: string }[]; nextCursor: string | null };
      operation('listSchemas')?.reply['application/json']?.parse(page);
      seen.push(...page.schemas.map(({ name }) => name));
      cursor = page.nextCursor;
    }
    expect(new Set(seen)).toEqual(new Set(names));
    expect(seen).toHaveLength(names.length);
    expect(await get('names', 'a/b')).toMatchObject({ name: 'a/b' });
  });
});

describe('a schema is refused', () => {
  test.each<[string, object, string]>([
    ['without a mode', { schema: {} }, 'invalid_parameter'],
    ['in a mode that there is not', { mode: 'strict', schema: {} }, 'invalid_parameter'],
    ['that is no object', { mode: 'warn', schema: true }, 'invalid_parameter'],
    ['with an unknown keyword', { mode: 'warn', schema: { requird: [] } }, 'invalid_parameter'],
    ['that points elsewhere', { mode: 'warn', schema: { $ref: 'http://127.0.0.1/' } }, 'invalid_parameter'],
    [
      'with an expression that cannot take linear time',
      { mode: 'warn', schema: { pattern: '(a)\\1' } },
      'invalid_parameter',
    ],
    ['that is too large', { mode: 'warn', schema: { title: 'x'.repeat(20_000) } }, 'body_too_large'],
  ])('%s', async (_, body, code) => {
    await makeStream('refused');
    expect((await codeOf(await put('refused', 'n', body)))[1]).toBe(code);
    expect(await codeOf(await collector.request('/v1/streams/refused/schemas/n'))).toEqual([
      404,
      'schema_not_found',
    ]);
  });

  test('for a stream that does not exist, and a name that no event can have', async () => {
    const body = { mode: 'warn', schema: {} };
    expect(await codeOf(await put('nowhere', 'n', body))).toEqual([404, 'stream_not_found']);
    await makeStream('refused');
    expect(await codeOf(await put('refused', 'x'.repeat(129), body))).toEqual([400, 'invalid_parameter']);
    expect(await codeOf(await put('refused', 'a\0', body))).toEqual([400, 'invalid_parameter']);
    const none = await collector.request('/v1/streams/refused/schemas/n', { method: 'DELETE' });
    expect(await codeOf(none)).toEqual([404, 'schema_not_found']);
  });

  test('G5 beyond a thousand; one that is there may be put again', async () => {
    const { createSchemas } = await import('../../collector/src/store/schemas.ts');
    const { connect, createQuery } = await import('../../collector/src/store/database.ts');
    const sql = connect(database.url, 'test', 1, {});
    const [row] = await sql<[{ stream_id: number; count: number }]>`
      select min(stream_id)::integer as stream_id, (select count(*)::integer from tidemark.schemas) as count from tidemark.streams`;
    const schemas = createSchemas({ query: createQuery(sql) }, { schemasMax: row.count + 1 });
    expect(await schemas.put(row.stream_id, 'one more', 'warn', {})).toBeDefined();
    expect(await schemas.put(row.stream_id, 'too many', 'warn', {})).toBeUndefined();
    expect(await schemas.put(row.stream_id, 'one more', 'enforce', {})).toMatchObject({ mode: 'enforce' });
    await sql.end();
  });
});
