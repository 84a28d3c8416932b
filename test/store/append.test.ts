import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AppendRow, appendRows, createAppend } from '../../collector/src/store/append.ts';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { failureOf } from '../../collector/src/store/failure.ts';
import { createRandom } from '../harness/seed.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let sql: Sql;

beforeAll(async () => {
  database = await createTestDatabase();
  sql = connect(database.url, 'test', 4, {});
});

afterAll(async () => {
  await sql.end();
  await database.drop();
});

/** A stream of the test's own, with the default delay of 5 s. */
async function makeStream(name: string, delay = 5_000_000n): Promise<number> {
  const [row] = await sql<[{ stream_id: number }]>`
    insert into tidemark.streams (name, watermark_delay) values (${name}, ${delay.toString()}) returning stream_id`;
  return row.stream_id;
}

async function now(): Promise<bigint> {
  const [row] = await sql<[{ now: bigint }]>`select tidemark.clock() as now`;
  return row.now;
}

function row(number: number, change: Partial<AppendRow> = {}): AppendRow {
  return {
    stream: 'any',
    claim: `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`,
    id: `id-${number}`,
    name: 'thing.happened',
    key: null,
    props: null,
    occurredAt: null,
    sentAt: null,
    receivedAt: 0n,
    eventTime: 0n,
    timeQuality: 6,
    ip: null,
    userAgent: null,
    ...change,
  };
}

const append = (streamId: number, rows: readonly AppendRow[], looksFirst = true) =>
  appendRows(
    sql,
    rows,
    rows.map(() => streamId),
    looksFirst,
  );

const stored = (streamId: number) =>
  sql<
    {
      id: string;
      name: string;
      key: string | null;
      props: string | null;
      order_time: bigint;
      event_time: bigint;
      bytes: number;
    }[]
  >`
    select id, name, key, props::text, order_time, event_time, bytes from tidemark.events
    where stream_id = ${streamId} order by order_time, seq`;

describe('append', () => {
  describe.each([
    { way: 'looks first', looksFirst: true },
    { way: 'finds out by failing', looksFirst: false },
  ])('that $way whether ids are taken', ({ looksFirst }) => {
    test('G2 answers with the positions of those that are and stores the first copy alone', async () => {
      const streamId = await makeStream(`twice-${looksFirst}`);
      expect(await append(streamId, [row(1, { name: 'first' }), row(2)], looksFirst)).toEqual([]);
      expect(await append(streamId, [row(3), row(1, { name: 'second' }), row(4)], looksFirst)).toEqual([1]);
      expect(await append(streamId, [row(1), row(2), row(3), row(4)], looksFirst)).toEqual([0, 1, 2, 3]);
      const events = await stored(streamId);
      expect(events.map((event) => event.id).sort()).toEqual(['id-1', 'id-2', 'id-3', 'id-4']);
      expect(events.find((event) => event.id === 'id-1')?.name).toBe('first');
    });

    test('G2 stores copies of a batch that come at the same time, in any order of rows, once and never deadlocks', async () => {
      const streamId = await makeStream(`race-${looksFirst}`);
      const rows = Array.from({ length: 200 }, (_, index) => row(1_000 + index));
      const copies = Array.from({ length: 8 }, (_, copy) => (copy % 2 === 0 ? rows : rows.toReversed()));
      const taken = await Promise.all(copies.map((copy) => append(streamId, copy, looksFirst)));
      expect(taken.map((positions) => 200 - positions.length).reduce((sum, count) => sum + count)).toBe(200);
      expect(await stored(streamId)).toHaveLength(200);
    });
  });

  test('G2 batches that share some of their ids, at the same time, whether they look first or not: each id is stored once, as one of them was told', async () => {
    const random = createRandom();
    const streamId = await makeStream('overlap');
    const batches = Array.from({ length: 60 }, () => {
      const numbers = new Set(Array.from({ length: 80 }, () => random.below(1_500)));
      return Array.from(numbers, (number) => row(10_000 + number));
    });
    const taken = await Promise.all(batches.map((batch, at) => append(streamId, batch, at % 2 === 0)));
    const acknowledged = batches.flatMap((batch, at) =>
      batch.filter((_, position) => !taken[at]?.includes(position)).map(({ id }) => id),
    );
    const all = new Set(batches.flat().map(({ id }) => id));
    expect(acknowledged.toSorted()).toEqual([...all].toSorted());
    expect((await stored(streamId)).map(({ id }) => id).toSorted()).toEqual([...all].toSorted());
  });

  test('ids are looked at first while some were taken lately, or where there are few', async () => {
    const streamId = await makeStream('adapts');
    const looked: unknown[] = [];
    const unsafe: Sql['unsafe'] = (text, parameters, options) => {
      looked.push(parameters?.at(-1));
      return sql.unsafe(text, parameters, options);
    };
    const appendTo = createAppend({ ...sql, unsafe } as Sql);
    let next = 20_000;
    const fresh = (count: number) => Array.from({ length: count }, () => row((next += 1)));
    const send = (rows: readonly AppendRow[]) =>
      appendTo(
        rows,
        Array.from(rows, () => streamId),
      );
    const first = fresh(100);
    await send(first);
    await send(fresh(10));
    expect(await send([...fresh(20), ...first])).toHaveLength(100);
    for (let again = 0; again < 101; again += 1) await send(fresh(20));
    expect(looked).toEqual([false, true, false, ...Array.from({ length: 100 }, () => true), false]);
  });

  test('an event keeps its event time while it is within the watermark delay, comes to the delay when late, to now when ahead', async () => {
    const streamId = await makeStream('places', 10_000_000n);
    const before = await now();
    await append(streamId, [
      row(1, { eventTime: before - 3_600_000_000n }),
      row(2, { eventTime: before - 9_000_000n }),
      row(3, { eventTime: before - 1_000n }),
      row(4, { eventTime: before + 3_600_000_000n }),
    ]);
    const after = await now();
    const [late, old, recent, future] = await stored(streamId);
    expect(late?.id).toBe('id-1');
    expect(late?.order_time).toBeGreaterThanOrEqual(before - 10_000_000n);
    expect(late?.order_time).toBeLessThanOrEqual(after - 10_000_000n);
    expect(old?.order_time).toBe(old?.event_time);
    expect(recent?.order_time).toBe(recent?.event_time);
    expect(future?.order_time).toBeGreaterThanOrEqual(before);
    expect(future?.order_time).toBeLessThanOrEqual(after);
  });

  test.each([
    ['plain text', 'name', 'key'],
    ['separators of the joined form', 'a\x1fb', '\x1e'],
    ['an empty key and a lone event', 'n', ''],
    ['quotes, braces, commas and backslashes', '{"a",\\b}', 'NULL'],
    ['text beyond ASCII', 'événement 事件 🌊', '\u{10FFFF}'],
  ])('texts come back as they were sent: %s', async (title, name, key) => {
    const streamId = await makeStream(title.replace(/[^a-z]/gi, '-'));
    const props = `{"big":12345678901234567890.10,"text":"\\u001f ${name.replace(/[\\"]/g, '\\$&').replace('\x1f', '')}"}`;
    await append(streamId, [row(1, { name, key, props })]);
    await append(streamId, [row(2, { name, key: null }), row(3, { name, key, props })]);
    const events = await stored(streamId);
    expect(events.map((event) => [event.id, event.name, event.key, event.props]).sort()).toEqual([
      ['id-1', name, key, props],
      ['id-2', name, null, null],
      ['id-3', name, key, props],
    ]);
    for (const event of events) {
      const texts = [event.id, event.name, event.key ?? '', event.props ?? ''];
      expect(event.bytes).toBe(Buffer.byteLength(texts.join('')));
    }
  });

  test('ties in order time are broken by the order of the rows', async () => {
    const streamId = await makeStream('ties');
    await append(
      streamId,
      Array.from({ length: 50 }, (_, index) => row(50 - index, { eventTime: 1n })),
    );
    expect((await stored(streamId)).map((event) => event.id)).toEqual(
      Array.from({ length: 50 }, (_, index) => `id-${50 - index}`),
    );
  });

  test('a transaction that is not READ COMMITTED is refused, and nothing of it is stored', async () => {
    const streamId = await makeStream('isolation');
    const attempt = sql.begin('isolation level repeatable read', (transaction) =>
      appendRows(transaction as unknown as Sql, [row(1)], [streamId]),
    );
    await expect(attempt).rejects.toThrow(/READ COMMITTED/);
    expect(await stored(streamId)).toHaveLength(0);
  });

  test('G3 a value that Postgres cannot hold fails the transaction as a data error, and nothing of it is stored', async () => {
    const streamId = await makeStream('poison');
    const failed = await append(streamId, [row(1), row(2, { props: '{"a":' })]).catch(failureOf);
    expect(failed).toBe('data');
    expect(await append(streamId, [row(1), row(2)])).toEqual([]);
  });

  test('a stream that does not exist is told apart from a data error', async () => {
    expect(await append(999_999, [row(1)]).catch(failureOf)).toBe('stream_gone');
  });
});
