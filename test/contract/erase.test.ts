import { type Problem, parseTime, type StoredEvent } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let sql: Sql;
let collector: TestCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  sql = connect(database.url, 'test', 2, { idle_in_transaction_session_timeout: 0 });
  collector = await startTestCollector({}, database.url);
});

afterAll(async () => {
  await collector.stop();
  await sql.end();
  await database.drop();
});

interface Erased {
  readonly erasedThrough: string;
  readonly done: boolean;
  readonly events: number;
  readonly deadLetters: number;
  readonly walkedTo: string | null;
}

async function makeStream(stream: string): Promise<void> {
  const response = await collector.request(`/v1/streams/${stream}`, {
    method: 'PUT',
    body: { watermarkDelayMs: 0 },
  });
  expect(response.status).toBe(200);
}

async function ask(stream: string, body: object): Promise<Erased> {
  const response = await collector.request(`/v1/streams/${stream}/erase`, { body });
  const answer = (await response.json()) as Erased;
  expect([response.status, answer]).toEqual([200, expect.anything()]);
  return answer;
}

async function erase(stream: string, key: string): Promise<Erased> {
  let answer = await ask(stream, { key });
  while (!answer.done) answer = await ask(stream, { key, erasedThrough: answer.erasedThrough });
  return answer;
}

async function readAll(stream: string, count: number): Promise<readonly StoredEvent[]> {
  let events: readonly StoredEvent[] = [];
  await eventually(`${count} events of ${stream}`, async () => {
    events = await collector.readAll(stream);
    return events.length === count;
  });
  return events;
}

describe('erasing a key', () => {
  test('G6 G7 leaves every event in its place, with its cursor, and takes what it says', async () => {
    await makeStream('orders');
    const props = { name: 'Ada', n: 1 };
    await collector.post(
      ['a', 'b', 'a', 'c', 'a'].map((key, index) => ({
        id: `${index}`,
        stream: 'orders',
        name: 'placed',
        key,
        props,
      })),
    );
    const before = await readAll('orders', 5);
    const first = await collector.read('orders', 'limit=2');

    const answer = await erase('orders', 'a');
    expect(answer).toMatchObject({ stream: 'orders', done: true, events: 3, deadLetters: 0 });
    expect(parseTime(answer.erasedThrough)).toBeDefined();

    const after = await collector.readAll('orders');
    expect(after).toEqual(
      before.map((event) => (event.key === 'a' ? { ...event, props: null, erased: true } : event)),
    );
    // A reader that was in the middle goes on as if nothing had been.
    const rest = await collector.read('orders', `cursor=${first.nextCursor}`);
    expect(rest.events.map(({ id, cursor }) => [id, cursor])).toEqual(
      before.slice(2).map(({ id, cursor }) => [id, cursor]),
    );
    // The same request again, as after an answer that was lost.
    expect(await ask('orders', { key: 'a', erasedThrough: answer.erasedThrough })).toEqual(answer);
    // And a new one.
    expect(await erase('orders', 'a')).toMatchObject({ done: true, events: 0 });
  });

  test('takes its dead letters, and no others', async () => {
    await makeStream('letters');
    await collector.post(
      ['a', 'b', 'a'].map((key) => ({ stream: 'letters', name: '', key, props: { secret: 1 } })),
    );
    const list = async () => {
      const response = await collector.request('/v1/dead-letters?stream=letters');
      const { deadLetters } = (await response.json()) as { deadLetters: { key: string }[] };
      return deadLetters.map(({ key }) => key);
    };
    await eventually('three dead letters', async () => (await list()).length === 3);
    expect(await erase('letters', 'a')).toMatchObject({ deadLetters: 2 });
    expect(await list()).toEqual(['b']);
  });

  test('goes on while events come, erases those that had come, and keeps those that come later', async () => {
    await makeStream('busy');
    let writing = true;
    let posted = 0;
    const post = async (): Promise<void> => {
      while (writing) {
        await collector.post([
          { stream: 'busy', name: 'n', key: 'a', props: { n: 1 } },
          { stream: 'busy', name: 'n', key: 'b', props: { n: 1 } },
        ]);
        posted += 2;
      }
    };
    const writers = Promise.all([post(), post(), post()]);
    await eventually('events are stored', () => posted > 60);
    const { erasedThrough } = await erase('busy', 'a');
    const through = parseTime(erasedThrough) ?? 0n;
    await eventually('later events', async () => {
      const [row] = await sql<[{ later: number }]>`
        select count(*)::integer as later from tidemark.events where key = 'a' and received_at > ${through} + 100000`;
      return row.later > 0;
    });
    writing = false;
    await writers;
    const events = await readAll('busy', posted);
    const wrong = events.filter(({ key, receivedAt, erased, props }) => {
      const shouldBe = key === 'a' && (parseTime(receivedAt) ?? 0n) <= through;
      return (erased === true) !== shouldBe || (props === null) !== shouldBe;
    });
    expect(wrong).toEqual([]);
  });

  test('an append that holds the stream is waited for: the answer says that there is more to do', async () => {
    await makeStream('held');
    await collector.post([{ id: 'h', stream: 'held', name: 'n', key: 'a', props: { n: 1 } }]);
    let free = (): void => undefined;
    const held = sql.begin(async (transaction) => {
      await transaction`select pg_advisory_xact_lock_shared(1953064291, stream_id) from tidemark.streams where name = 'held'`;
      await new Promise<void>((resolve) => {
        free = resolve;
      });
    });
    await eventually('the stream is held', async () => {
      const rows = await sql`select from tidemark.holders()`;
      return rows.length > 0;
    });
    const answer = await ask('held', { key: 'a' });
    expect(answer).toMatchObject({ done: false, events: 0, walkedTo: null });
    free();
    await held;
    let next = answer;
    while (!next.done) next = await ask('held', { key: 'a', erasedThrough: answer.erasedThrough });
    expect(next).toMatchObject({ done: true, events: 1, erasedThrough: answer.erasedThrough });
  });

  test.each([
    [{}, 'invalid_parameter'],
    [{ key: '' }, 'invalid_parameter'],
    [{ key: 'a\u0000' }, 'invalid_parameter'],
    [{ key: '\ud800' }, 'invalid_parameter'],
    [{ key: 'a', erasedThrough: 'yesterday' }, 'invalid_parameter'],
    [{ key: 'a', everything: true }, 'invalid_parameter'],
    [{ key: 'a'.repeat(20_000) }, 'body_too_large'],
  ])('refuses %j with %s', async (body, code) => {
    await makeStream('orders');
    const response = await collector.request('/v1/streams/orders/erase', { body });
    expect(((await response.json()) as Problem).code).toBe(code);
  });

  test('of a stream that does not exist is refused', async () => {
    const response = await collector.request('/v1/streams/nowhere/erase', { body: { key: 'a' } });
    expect([response.status, ((await response.json()) as Problem).code]).toEqual([404, 'stream_not_found']);
  });
});
