import { paths, type Problem } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKey } from '../../collector/src/http/authenticate-key.ts';
import { deadLettersOperations } from '../../collector/src/http/openapi-dead-letters.ts';
import { createClock } from '../../collector/src/clock.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { startTestCollector, type TestCollector, writeKey } from '../harness/collector.ts';
import { connect, createQuery, type Sql } from '../../collector/src/store/database.ts';
import { keys } from '../../collector/src/store/schema.ts';
import { eventually } from '../harness/eventually.ts';

let database: TestDatabase;
let sql: Sql;
let collector: TestCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  sql = connect(database.url, 'test', 1, { idle_in_transaction_session_timeout: 0 });
  collector = await startTestCollector({}, database.url);
});

afterAll(async () => {
  await collector.stop();
  await sql.end();
  await database.drop();
});

interface Letter {
  readonly id: string;
  readonly code: string;
  readonly message: string;
  readonly stream: string | null;
  readonly eventId: string | null;
  readonly key: string | null;
  readonly keyId: string;
  readonly receivedAt: string;
  readonly raw: string;
  readonly truncated: boolean;
  readonly format: string;
}

interface Replayed {
  readonly stored: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly results: readonly { id: string; status: string; code?: string; message?: string }[];
  readonly nextCursor: string | null;
}

const [listOperation, replayOperation] = deadLettersOperations;

async function list(
  query = '',
  from = collector,
): Promise<{ deadLetters: Letter[]; nextCursor: string | null }> {
  const response = await from.request(`${paths.deadLetters}?${query}`);
  const body = (await response.json()) as { deadLetters: Letter[]; nextCursor: string | null };
  expect([response.status, body]).toEqual([200, expect.anything()]);
  listOperation?.reply['application/json']?.parse(body);
  return body;
}

/** Letters are written behind the back of ingest. */
async function letters(count: number, query: string, from = collector): Promise<Letter[]> {
  let found: Letter[] = [];
  await eventually(`${count} dead letters of ${query}`, async () => {
    found = (await list(query, from)).deadLetters;
    return found.length >= count;
  });
  expect(found).toHaveLength(count);
  return found;
}

async function replay(body: object, from = collector): Promise<Replayed> {
  const response = await from.request(paths.deadLettersReplay, { body });
  const answer = (await response.json()) as Replayed;
  expect([response.status, answer]).toEqual([200, expect.anything()]);
  replayOperation?.reply['application/json']?.parse(answer);
  return answer;
}

async function scopedKey(streams: string[]): Promise<{ key: string; keyId: string }> {
  const { key, hash } = createKey('write', createClock().randomBytes);
  const [row] = await createQuery(sql)
    .insert(keys)
    .values({ hash, role: 'write', streams })
    .returning({ keyId: keys.keyId });
  return { key, keyId: row?.keyId ?? '' };
}

describe('G4 what is rejected', () => {
  test('is a dead letter with its reason, its text and who sent it', async () => {
    const raw =
      '{"id":"a1","stream":"reasons","name":"","key":"user-1","props":{"big":12345678901234567890}}';
    const reply = await collector.request(paths.events, {
      key: writeKey,
      headers: { 'content-type': 'application/json' },
      body: `{"sentAt":"2026-01-31T12:00:00.000001Z","clock":{"offsetMs":1.5,"rttMs":20},"events":[${raw}]}`,
    });
    const { receivedAt, results } = (await reply.json()) as {
      receivedAt: string;
      results: { message: string }[];
    };
    const [letter] = await letters(1, 'stream=reasons');
    expect(letter).toMatchObject({
      code: 'invalid_name',
      message: results[0]?.message,
      stream: 'reasons',
      eventId: 'a1',
      key: 'user-1',
      keyId: 'environment-write',
      receivedAt,
      sentAt: '2026-01-31T12:00:00.000001Z',
      clock: { offsetMs: 1.5, rttMs: 20 },
      format: 'event',
      raw,
      truncated: false,
    });
  });

  test.each([
    ['a line that is no JSON', 'application/x-ndjson', '{"name":"a"}\n{"name":', 'invalid_json', '{"name":'],
    [
      'a CloudEvent without a type',
      'application/cloudevents+json',
      '{"specversion":"1.0","id":"1","source":"/ce"}',
      'invalid_event',
      '{"specversion":"1.0","id":"1","source":"/ce"}',
    ],
    [
      'NUL in a text',
      'application/json',
      '{"events":[{"name":"nul","props":{"a":"\\u0000"}}]}',
      'unstorable_text',
      '{"name":"nul","props":{"a":"\\u0000"}}',
    ],
  ])('is one for %s, too', async (_, type, body, code, raw) => {
    const reply = await collector.request(paths.events, {
      key: writeKey,
      headers: { 'content-type': type },
      body,
    });
    expect(((await reply.json()) as { rejected: number }).rejected).toBe(1);
    const found = await letters(1, `code=${code}`);
    expect(found[0]).toMatchObject({ code, raw, truncated: false });
  });

  test('is one for what is too large, and says that only the beginning is kept', async () => {
    const text = 'x'.repeat(70_000);
    await collector.post([{ id: 'large', stream: 'large', name: 'n', props: { text }, key: 'behind' }]);
    const [letter] = await letters(1, 'stream=large');
    expect(letter).toMatchObject({
      code: 'event_too_large',
      truncated: true,
      eventId: 'large',
      key: 'behind',
    });
    expect(letter?.raw).toHaveLength(65_536);
    const answer = await replay({ ids: [letter?.id] });
    expect(answer).toMatchObject({ stored: 0, rejected: 1, results: [{ code: 'event_too_large' }] });
    expect(answer.results[0]?.message).toMatch(/beginning/);
  });

  test('is one for what Postgres refuses, with the text as it was sent', async () => {
    // In the way from outside, as a value that we take and Postgres does not.
    await sql`create function public.no_poison() returns trigger language plpgsql as
      $$ begin if new.id = 'poison' then raise exception 'no' using errcode = '22000'; end if; return new; end $$`;
    await sql`create trigger no_poison before insert on tidemark.events for each row execute function public.no_poison()`;
    const poison = {
      id: 'poison',
      stream: 'refused',
      name: 'n',
      key: 'k',
      occurredAt: '2026-01-31T12:00:00.123456Z',
      props: { a: [1, 'é'] },
    };
    try {
      const reply = await collector.post([{ id: 'fine', stream: 'refused', name: 'n' }, poison]);
      expect(reply).toMatchObject({ accepted: 1, rejected: 1, results: [{ code: 'unstorable' }] });
      const [letter] = await letters(1, 'stream=refused');
      expect(JSON.parse(letter?.raw ?? '')).toEqual(poison);
    } finally {
      await sql`drop trigger no_poison on tidemark.events`;
    }
    expect(await replay({ stream: 'refused' })).toMatchObject({ stored: 1, rejected: 0 });
    expect(await list('stream=refused')).toEqual({ deadLetters: [], nextCursor: null });
  });

  test('of a request that is refused as a whole leaves no dead letter', async () => {
    const before = (await list('limit=1000')).deadLetters.length;
    const reply = await collector.request(paths.events, { key: writeKey, body: '{"events":[{"name":""}' });
    expect(reply.status).toBe(400);
    // Letters keep their order: one that was sent later is there, so would be those before.
    await collector.post([{ stream: 'marker', name: '' }]);
    await letters(1, 'stream=marker');
    expect((await list('limit=1000')).deadLetters).toHaveLength(before + 1);
  });
});

describe('a replay', () => {
  test('stores events with the event time they would have had, and they leave the dead letters', async () => {
    const { key, keyId } = await scopedKey(['allowed']);
    const offsetMs = 3_600_000;
    const occurredAt = '2026-01-31T12:00:00.000001Z';
    const events = [
      { id: 'b1', stream: 'forbidden', name: 'n', occurredAt, props: { n: '12' } },
      { id: 'b2', stream: 'forbidden', name: 'n', key: 'k', occurredAt: 'yesterday' },
      { id: 'b3', stream: 'allowed', name: 'n', occurredAt },
    ];
    const reply = await collector.request(paths.events, {
      key,
      body: { sentAt: new Date().toISOString(), clock: { offsetMs, rttMs: 9 }, events },
    });
    const { receivedAt, rejected } = (await reply.json()) as { receivedAt: string; rejected: number };
    expect(rejected).toBe(2);
    expect(await letters(2, `keyId=${keyId}&code=stream_forbidden`)).toHaveLength(2);
    await collector.request('/v1/streams/forbidden', { method: 'PUT', body: { watermarkDelayMs: 0 } });

    expect(await replay({ keyId })).toMatchObject({ stored: 2, duplicates: 0, rejected: 0 });
    expect((await list(`keyId=${keyId}`)).deadLetters).toEqual([]);
    await eventually('both are readable', async () => (await collector.readAll('forbidden')).length === 2);
    const stored = new Map((await collector.readAll('forbidden')).map((event) => [event.id, event]));
    expect(stored.get('b1')).toMatchObject({
      occurredAt,
      receivedAt,
      eventTime: '2026-01-31T13:00:00.000001Z',
      timeQuality: 'implausible',
      late: true,
      props: { n: '12' },
    });
    expect(stored.get('b2')).toMatchObject({ key: 'k', eventTime: receivedAt, timeQuality: 'unparsable' });
    // Again: there is nothing left.
    expect(await replay({ keyId })).toMatchObject({ stored: 0, results: [], nextCursor: null });
  });

  test('G2 that is cut after its events were stored is repeated without storing them twice, even those that have no id', async () => {
    const { key, keyId } = await scopedKey(['allowed']);
    await collector.request(paths.events, { key, body: { events: [{ stream: 'twice', name: 'n' }] } });
    const [letter] = await letters(1, `keyId=${keyId}`);
    // The letter cannot be deleted: that is where a crash would come.
    await sql`create function public.no_delete() returns trigger language plpgsql as
      $$ begin raise exception 'no' using errcode = '57014'; end $$`;
    await sql`create trigger no_delete before delete on tidemark.dead_letters execute function public.no_delete()`;
    const cut = await collector.request(paths.deadLettersReplay, { body: { keyId } });
    expect([cut.status, ((await cut.json()) as Problem).code]).toEqual([503, 'store_unavailable']);
    await sql`drop trigger no_delete on tidemark.dead_letters`;
    expect(await replay({ keyId })).toMatchObject({
      duplicates: 1,
      results: [{ id: letter?.id, status: 'duplicate' }],
    });
    const [{ count } = { count: 0n }] = await sql<{ count: bigint }[]>`
      select count(*) from tidemark.events e join tidemark.streams s using (stream_id) where s.name = 'twice'`;
    expect(count).toBe(1n);
  });

  test('of what is rejected again keeps the letter, with the new reason', async () => {
    await collector.post([{ id: 'c1', stream: 'again', name: '' }]);
    const [letter] = await letters(1, 'stream=again');
    expect(await replay({ stream: 'again' })).toMatchObject({
      stored: 0,
      rejected: 1,
      results: [{ id: letter?.id, status: 'rejected', code: 'invalid_name' }],
    });
    await sql`update tidemark.dead_letters set code = 'too_deep' where letter_id = ${letter?.id ?? ''}`;
    await replay({ stream: 'again' });
    expect(await list('stream=again')).toMatchObject({ deadLetters: [{ code: 'invalid_name' }] });
  });

  test('takes texts for one event and no other', async () => {
    const lines = [
      '{"name":"a"},{"name":"b"}',
      '{"name":"a"} {"name":"b"}',
      '{"name":"a"}],"events":[{"name":"b"}',
    ];
    await collector.request('/v1/events', {
      key: writeKey,
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines.join('\n'),
    });
    await eventually('the lines are dead letters', async () => {
      const { deadLetters } = await list('code=invalid_json');
      return lines.every((line) => deadLetters.some(({ raw }) => raw === line));
    });
    const answer = await replay({ code: 'invalid_json' });
    expect(answer.stored).toBe(0);
    expect(answer.rejected).toBeGreaterThanOrEqual(3);
  });

  test('reads CloudEvents as such', async () => {
    const { key, keyId } = await scopedKey(['allowed']);
    const event = {
      specversion: '1.0',
      id: '9',
      source: '/shop',
      type: 'ce',
      subject: 'user-9',
      data: { a: 1 },
    };
    const headers = { 'content-type': 'application/cloudevents-batch+json' };
    await collector.request(paths.events, { key, headers, body: [event, { ...event, id: '' }] });
    const found = await letters(2, `keyId=${keyId}`);
    expect(found.map(({ format, key: about }) => [format, about]).sort()).toEqual([
      ['cloudEvent', 'user-9'],
      ['event', 'user-9'],
    ]);
    // The one without an id stays what it is.
    const answer = await replay({ keyId });
    expect([answer.stored, answer.rejected]).toEqual([1, 1]);
  });
});

describe('the list', () => {
  test('goes through all letters by pages, in the order in which they were rejected, and filters them', async () => {
    const events = Array.from({ length: 25 }, (_, index) => ({ id: `p${index}`, stream: 'pages', name: '' }));
    await collector.post(events);
    await letters(25, 'stream=pages');
    const seen: (string | null)[] = [];
    let cursor: string | null = '0';
    while (cursor !== null) {
      const page: { deadLetters: Letter[]; nextCursor: string | null } = await list(
        `stream=pages&limit=10&cursor=${cursor}`,
      );
      seen.push(...page.deadLetters.map(({ eventId }) => eventId));
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(events.map(({ id }) => id));
    expect((await list('stream=pages&code=too_deep')).deadLetters).toEqual([]);
  });

  test.each(['cursor=x', 'limit=0', 'limit=1001', 'stream=a%20b', 'cursor=-1'])(
    'refuses %s',
    async (query) => {
      const response = await collector.request(`${paths.deadLetters}?${query}`);
      expect([response.status, ((await response.json()) as Problem).code]).toEqual([
        400,
        'invalid_parameter',
      ]);
    },
  );

  test.each([{ ids: [] }, { ids: ['x'] }, { limit: 5_000 }, { stream: '' }, { everything: true }])(
    'a replay of %j is refused',
    async (body) => {
      const response = await collector.request(paths.deadLettersReplay, { body });
      expect([response.status, ((await response.json()) as Problem).code]).toEqual([
        400,
        'invalid_parameter',
      ]);
    },
  );
});

test('G5 G4 letters together stay below their limit: the oldest go, and are counted', async () => {
  const small = await startTestCollector({ deadLetterBytesMax: 20_000 });
  try {
    const props = { text: 'x'.repeat(1_000) };
    await small.post(
      Array.from({ length: 30 }, (_, index) => ({ id: `s${index}`, stream: 'small', name: '', props })),
    );
    let kept: Letter[] = [];
    await eventually('the last one is there', async () => {
      kept = (await list('stream=small', small)).deadLetters;
      return kept.at(-1)?.eventId === 's29';
    });
    expect(kept.length).toBeGreaterThan(10);
    expect(kept.length).toBeLessThan(20);
    expect(kept.map(({ eventId }) => eventId)).toEqual(
      Array.from({ length: kept.length }, (_, index) => `s${30 - kept.length + index}`),
    );
    await eventually('those that went are counted', async () => {
      const metrics = await (await small.request('/metrics')).text();
      return metrics.includes(`tidemark_dead_letters_dropped_total{reason="space"} ${30 - kept.length}`);
    });
    // A single one that is larger than all may be goes too.
    await small.post([{ id: 'huge', stream: 'small', name: '', props: { text: 'x'.repeat(40_000) } }]);
    await eventually('nothing fits beside it', async () => (await list('', small)).deadLetters.length === 0);
  } finally {
    await small.stop();
  }
});

test('an event for one stream too many is stored by a replay when there may be more streams', async () => {
  const [{ count }] = await sql<[{ count: number }]>`select count(*)::integer as count from tidemark.streams`;
  const full = await startTestCollector({ maxStreams: count }, database.url);
  try {
    const reply = await full.post([{ id: 'more', stream: 'one.more', name: 'n', props: { at: 1 } }]);
    expect(reply.results).toMatchObject([{ code: 'too_many_streams' }]);
    await letters(1, 'code=too_many_streams', full);
    expect(await replay({ code: 'too_many_streams' }, full)).toMatchObject({ stored: 0, rejected: 1 });
  } finally {
    await full.stop();
  }
  expect(await replay({ code: 'too_many_streams' })).toMatchObject({ stored: 1, rejected: 0 });
  expect(await list('code=too_many_streams')).toEqual({ deadLetters: [], nextCursor: null });
});

test('ingest neither waits for dead letters nor fails with them', async () => {
  let free = (): void => undefined;
  const locked = sql.begin(async (transaction) => {
    await transaction`select from tidemark.dead_letters_total for update`;
    await new Promise<void>((resolve) => {
      free = resolve;
    });
  });
  try {
    for (let count = 0; count < 5; count++) {
      const reply = await collector.post([
        { id: `w${count}`, stream: 'waits', name: 'n' },
        { id: `l${count}`, stream: 'waits', name: '' },
      ]);
      expect(reply).toMatchObject({ accepted: 1, rejected: 1 });
    }
    expect((await list('stream=waits')).deadLetters).toEqual([]);
  } finally {
    free();
    await locked;
  }
  await letters(5, 'stream=waits');
});

test('letters that wait when a collector closes are written', async () => {
  const closing = await startTestCollector({}, database.url);
  await closing.post([{ stream: 'closing', name: '' }]);
  await closing.stop();
  expect((await list('stream=closing')).deadLetters).toHaveLength(1);
});
