import {
  consumerLimits,
  type ConsumerSummary,
  formatTime,
  type Page,
  parseTime,
  paths,
} from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKey } from '../../collector/src/http/authenticate-key.ts';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { createClock } from '../../collector/src/clock.ts';
import { readKey, startTestCollector, type TestCollector, writeKey } from '../harness/collector.ts';
import { type ConsumerCase, createConsumerCase } from '../harness/consumer-case.ts';
import { eventually } from '../harness/eventually.ts';

let collector: TestCollector;
let other: TestCollector;
let sql: Sql;
let streams = 0;

beforeAll(async () => {
  collector = await startTestCollector();
  other = await startTestCollector({}, collector.databaseUrl);
  sql = connect(collector.databaseUrl, 'test', 1, {});
});

afterAll(async () => {
  await sql.end();
  await other.stop();
  await collector.stop();
});

const micros = (text: string): bigint => parseTime(text) ?? 0n;

/** A stream of its own with so many events, each readable, and their cursors in order. */
async function createStream(
  events: number,
): Promise<{ stream: string; cursors: readonly string[]; page: Page }> {
  const stream = `stream-${++streams}`;
  const made = await collector.request(paths.stream(stream), {
    method: 'PUT',
    body: { watermarkDelayMs: 0 },
  });
  expect(made.status).toBe(200);
  if (events > 0) {
    const sent = Array.from({ length: events }, (_, index) => ({ id: `event-${index}`, stream, name: 'x' }));
    await collector.post(sent);
  }
  let page = await collector.read(stream, events > 0 ? 'wait=10' : '');
  while (page.events.length < events) page = await collector.read(stream, 'wait=1');
  return { stream, cursors: page.events.map((event) => event.cursor), page };
}

/** A stream with five events and a consumer at its beginning. */
async function createConsumer(settings: object = {}) {
  const found = await createStream(5);
  const consumer = createConsumerCase(collector, found.stream, 'billing');
  expect((await consumer.put(settings)).status).toBe(200);
  return { ...found, consumer };
}

const cursorsOf = async (consumer: ConsumerCase): Promise<readonly string[]> =>
  (await consumer.get()).body.shards.map((shard) => shard.cursor);

describe('a consumer', () => {
  test('begins at the earliest event with one shard, and shows where it stands', async () => {
    const { stream, page } = await createStream(3);
    const consumer = createConsumerCase(collector, stream, 'billing');
    const { status, body } = await consumer.put();
    expect(status).toBe(200);
    expect(body).toMatchObject({
      consumer: 'billing',
      stream,
      shards: [{ shard: 0, generation: 0, member: null, expiresAt: null }],
    });
    expect((await collector.read(stream, `cursor=${body.shards[0]?.cursor}`)).events).toEqual(page.events);
    expect((await consumer.get()).body.shards[0]?.cursor).toEqual(body.shards[0]?.cursor);
  });

  test('begins at the latest event or at a time, with as many shards as it is made with', async () => {
    const { stream, page } = await createStream(3);
    const latest = createConsumerCase(collector, stream, 'latest');
    const { body } = await latest.put({ from: 'latest', shards: 3 });
    expect(body.shards.map(({ shard }) => shard)).toEqual([0, 1, 2]);
    for (const { cursor, behindMs } of body.shards) {
      expect(behindMs).toBeLessThan(1_000);
      expect((await collector.read(stream, `cursor=${cursor}`)).events).toEqual([]);
    }
    const at = createConsumerCase(collector, stream, 'at-a-time');
    await at.put({ from: page.events[1]?.orderTime });
    const [cursor] = await cursorsOf(at);
    expect((await collector.read(stream, `cursor=${cursor}`)).events).toEqual(
      page.events.filter((event) => event.orderTime >= (page.events[1]?.orderTime ?? '')),
    );
  });

  test('that is put again stays where it stands; with another number of shards it is a conflict', async () => {
    const { consumer, cursors } = await createConsumer({ shards: 2 });
    const { body: lease } = await consumer.lease('a', { shard: 1 });
    await consumer.commit(1, { cursor: cursors[2], generation: lease.generation });
    const before = await cursorsOf(consumer);
    expect((await consumer.put({ from: 'latest', shards: 2 })).status).toBe(200);
    expect((await consumer.put({})).status).toBe(200);
    expect(await cursorsOf(consumer)).toEqual(before);
    expect(await consumer.put({ shards: 3 })).toMatchObject({
      status: 409,
      body: { code: 'consumer_conflict' },
    });
  });

  test('that several make at the same moment is made once', async () => {
    const { stream } = await createStream(0);
    const cases = [collector, other].map((one) => createConsumerCase(one, stream, 'race'));
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => cases[index % 2]?.put({ shards: index < 6 ? 4 : 5 })),
    );
    const statuses = answers.map((answer) => answer?.status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(6);
    expect(statuses.filter((status) => status === 409)).toHaveLength(6);
    expect([4, 5]).toContain((await cases[0]?.get())?.body.shards.length);
  });

  test('is listed, and gone when it is deleted', async () => {
    const { stream, consumer, cursors } = await createConsumer({ shards: 2 });
    await createConsumerCase(collector, stream, 'audit').put({ from: 'latest' });
    const { body: lease } = await consumer.lease('a');
    await consumer.commit(lease.shard, { cursor: cursors[4], generation: lease.generation });
    const list = async () => {
      const reply = await collector.request(paths.consumers(stream), { key: readKey });
      return ((await reply.json()) as { consumers: ConsumerSummary[] }).consumers;
    };
    const [audit, billing] = await list();
    expect(audit).toMatchObject({ consumer: 'audit', shards: 1, leased: 0 });
    expect(billing).toMatchObject({ consumer: 'billing', shards: 2, leased: 1 });
    expect(billing?.behindMs).toBeGreaterThan(1_000_000);
    expect(await consumer.remove()).toMatchObject({ status: 200, body: { deleted: true } });
    expect((await list()).map((one) => one.consumer)).toEqual(['audit']);
    for (const answer of [await consumer.get(), await consumer.remove(), await consumer.lease('a')])
      expect(answer).toMatchObject({ status: 404, body: { code: 'consumer_not_found' } });
  });

  test('that is made anew has nothing of the one before it: who leased that one cannot commit', async () => {
    const { consumer, cursors } = await createConsumer();
    const { body: lease } = await consumer.lease('a');
    await consumer.remove();
    await consumer.put();
    await consumer.lease('b');
    const late = await consumer.commit(0, { cursor: cursors[4], generation: lease.generation });
    expect(late).toMatchObject({ status: 409, body: { code: 'stale_generation' } });
  });

  test('goes with its stream', async () => {
    const { stream, consumer } = await createConsumer();
    expect((await collector.request(paths.stream(stream), { method: 'DELETE' })).status).toBe(200);
    expect(await consumer.get()).toMatchObject({ status: 404, body: { code: 'stream_not_found' } });
    await collector.post([{ stream, name: 'anew' }]);
    expect(await consumer.get()).toMatchObject({ status: 404, body: { code: 'consumer_not_found' } });
  });

  test(`G5 of a stream there are at most ${consumerLimits.perStream}`, async () => {
    const { stream } = await createStream(0);
    await sql`
      insert into tidemark.consumers (stream_id, name, shards)
      select s.stream_id, 'many-' || n, 1 from tidemark.streams s, generate_series(2, ${consumerLimits.perStream}::integer) n
      where s.name = ${stream}`;
    expect((await createConsumerCase(collector, stream, 'last').put()).status).toBe(200);
    const tooMany = await createConsumerCase(collector, stream, 'one-too-many').put();
    expect(tooMany).toMatchObject({ status: 422, body: { code: 'too_many_consumers' } });
    expect((await createConsumerCase(collector, stream, 'last').put()).status).toBe(200);
  });
});

describe('a lease', () => {
  test('is renewed by the same call and keeps its generation, shard and cursor', async () => {
    const { consumer, cursors } = await createConsumer();
    const { status, body: first } = await consumer.lease('a');
    expect(status).toBe(200);
    expect(first).toMatchObject({ shard: 0, share: 1, cursor: (await cursorsOf(consumer))[0] });
    await consumer.commit(0, { cursor: cursors[1], generation: first.generation });
    const { body: second } = await consumer.lease('a');
    expect(second).toMatchObject({ shard: 0, generation: first.generation, cursor: cursors[1] });
    expect(second.expiresAt > first.expiresAt).toBe(true);
    expect((await consumer.get()).body.shards[0]).toMatchObject({ member: 'a', expiresAt: second.expiresAt });
  });

  test('is refused to others while it lasts, and can be taken when it has expired; who had it cannot commit any more', async () => {
    const { consumer, cursors } = await createConsumer();
    const { body: first } = await consumer.lease('stalled', { ttlMs: 1_000 });
    expect((await consumer.commit(0, { cursor: cursors[0], generation: first.generation })).status).toBe(200);
    expect(await consumer.lease('next')).toMatchObject({ status: 409, body: { code: 'no_free_shard' } });
    await eventually('the lease expires', async () => (await consumer.lease('next')).status === 200, 5_000);
    const { body: second } = await consumer.lease('next');
    expect(second.generation).toBeGreaterThan(first.generation);
    expect(second.cursor).toBe(cursors[0]);
    for (const cursor of [cursors[0], cursors[3]]) {
      const fenced = await consumer.commit(0, { cursor, generation: first.generation });
      expect(fenced).toMatchObject({ status: 409, body: { code: 'stale_generation' } });
    }
    expect(await consumer.lease('stalled')).toMatchObject({ status: 409, body: { code: 'no_free_shard' } });
    expect(await cursorsOf(consumer)).toEqual([cursors[0]]);
  });

  test('does not outlast its time when the clock of the database is set back: an abandoned shard can be taken, who works on is not disturbed', async () => {
    const { stream, consumer, cursors } = await createConsumer({ shards: 2 });
    const { body: abandoned } = await consumer.lease('gone', { shard: 0 });
    const { body: held } = await consumer.lease('working', { shard: 1 });
    // As if both had been leased an hour from now, by a clock that went wrong and was put right.
    await sql`
      update tidemark.consumer_shards set expires_at = expires_at + 3600000000
      where consumer_id = (select consumer_id from tidemark.consumers join tidemark.streams using (stream_id) where streams.name = ${stream})`;
    const { body: renewed } = await consumer.lease('working', { shard: 1 });
    expect(renewed.generation).toBe(held.generation);
    const { status, body: taken } = await consumer.lease('next');
    expect([status, taken.shard]).toEqual([200, abandoned.shard]);
    expect(await consumer.commit(0, { cursor: cursors[0], generation: abandoned.generation })).toMatchObject({
      status: 409,
      body: { code: 'stale_generation' },
    });
  });

  test('that expired and that nobody took goes on as if nothing had happened', async () => {
    const { consumer, cursors } = await createConsumer();
    const { body: first } = await consumer.lease('a', { ttlMs: 1_000 });
    await eventually(
      'the lease expires',
      async () => (await consumer.get()).body.shards[0]?.member === null,
      5_000,
    );
    expect((await consumer.commit(0, { cursor: cursors[1], generation: first.generation })).status).toBe(200);
    const { body: again } = await consumer.lease('a');
    expect(again).toMatchObject({ generation: first.generation, cursor: cursors[1] });
  });

  test('that is given back is free at once, and its generation is over', async () => {
    const { consumer, cursors } = await createConsumer();
    const { body: first } = await consumer.lease('a');
    expect(await consumer.release('b', first)).toMatchObject({ status: 200, body: { released: false } });
    expect(await consumer.release('a', first)).toMatchObject({ status: 200, body: { released: true } });
    expect(await consumer.release('a', first)).toMatchObject({ status: 200, body: { released: false } });
    const late = await consumer.commit(0, { cursor: cursors[0], generation: first.generation });
    expect(late).toMatchObject({ status: 409, body: { code: 'stale_generation' } });
    const { status, body: second } = await consumer.lease('b');
    expect(status).toBe(200);
    expect(second.generation).toBeGreaterThan(first.generation);
    expect(await consumer.release('a', first)).toMatchObject({ status: 200, body: { released: false } });
    expect((await consumer.get()).body.shards[0]).toMatchObject({ member: 'b' });
  });

  test('of a shard is had by one of all who race for it through two collectors', async () => {
    const { stream, consumer } = await createConsumer();
    const cases = [consumer, createConsumerCase(other, stream, consumer.name)];
    for (let round = 0; round < 10; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 8 }, async (_, index) => cases[index % 2]?.lease(`member-${index}`)),
      );
      const given = answers.filter((answer) => answer?.status === 200);
      expect(given).toHaveLength(1);
      expect(answers.filter((answer) => answer?.body.code === 'no_free_shard')).toHaveLength(7);
      const winner = `member-${answers.findIndex((answer) => answer?.status === 200)}`;
      const lease = given[0]?.body ?? { shard: 0, generation: 0 };
      expect((await consumer.release(winner, lease)).body.released).toBe(true);
    }
  });

  test('members that race for the shards of a consumer get one each, and no shard twice', async () => {
    const { stream, consumer } = await createConsumer({ shards: 8 });
    const cases = [consumer, createConsumerCase(other, stream, consumer.name)];
    const answers = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => cases[index % 2]?.lease(`member-${index}`)),
    );
    expect(answers.map((answer) => answer?.body.shard).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(new Set((await consumer.get()).body.shards.map((shard) => shard.member)).size).toBe(8);
    expect((await consumer.lease('late')).body.code).toBe('no_free_shard');
  });

  test('a newcomer gets its share: the others learn it when they renew, and give back what is above theirs', async () => {
    const { consumer } = await createConsumer({ shards: 4 });
    const first = [];
    for (let count = 0; count < 4; count += 1) first.push((await consumer.lease('a')).body);
    expect(first.map(({ shard, share }) => [shard, share])).toEqual([0, 1, 2, 3].map((shard) => [shard, 4]));
    expect((await consumer.lease('a')).body.code).toBe('no_free_shard');

    expect((await consumer.lease('b')).body.code).toBe('no_free_shard');
    expect((await consumer.lease('a', { shard: 0 })).body).toMatchObject({ shard: 0, share: 2 });
    for (const lease of first.slice(2)) expect((await consumer.release('a', lease)).body.released).toBe(true);
    expect((await consumer.lease('a')).body.code).toBe('no_free_shard');
    const second = [(await consumer.lease('b')).body, (await consumer.lease('b')).body];
    expect(second.map(({ shard }) => shard).sort()).toEqual([2, 3]);
    expect(second[1]?.share).toBe(2);

    // And when it goes, the others get its shards.
    for (const lease of second) await consumer.release('b', lease);
    expect((await consumer.lease('a')).body).toMatchObject({ share: 4 });
    expect((await consumer.lease('a')).body).toMatchObject({ share: 4 });
  });

  test('of a consumer with several shards is renewed by naming the shard', async () => {
    const { consumer } = await createConsumer({ shards: 2 });
    const { body: first } = await consumer.lease('a', { shard: 1 });
    expect(first.shard).toBe(1);
    expect((await consumer.lease('a', { shard: 1 })).body.generation).toBe(first.generation);
    expect((await consumer.lease('b', { shard: 1 })).body.code).toBe('no_free_shard');
    expect((await consumer.lease('b', { shard: 0 })).body.shard).toBe(0);
    expect(await consumer.lease('b', { shard: 2 })).toMatchObject({
      status: 400,
      body: { code: 'invalid_parameter' },
    });
  });

  test.each([
    [{ ttlMs: 999 }],
    [{ ttlMs: 300_001 }],
    [{ ttlMs: '30s' }],
    [{ member: '' }],
    [{ member: 'two words' }],
    [{ member: 'x'.repeat(129) }],
    [{ shard: -1 }],
    [{ shards: 1 }],
  ])('%j is out of range', async (change) => {
    const { stream } = await createStream(0);
    const consumer = createConsumerCase(collector, stream, 'c');
    await consumer.put();
    expect(await consumer.lease('a', change)).toMatchObject({
      status: 400,
      body: { code: 'invalid_parameter' },
    });
  });
});

describe('a commit', () => {
  test('moves forward, stays where it is, and never goes back', async () => {
    const { consumer, cursors } = await createConsumer();
    const { generation } = (await consumer.lease('a')).body;
    const commit = (index: number) => consumer.commit(0, { cursor: cursors[index], generation });
    expect((await commit(2)).body).toMatchObject({ shard: 0, cursor: cursors[2], outdated: false });
    expect((await commit(2)).body).toMatchObject({ cursor: cursors[2], outdated: false });
    expect(await commit(1)).toMatchObject({ status: 200, body: { cursor: cursors[2], outdated: true } });
    expect((await commit(4)).body).toMatchObject({ cursor: cursors[4], outdated: false });
    expect(await cursorsOf(consumer)).toEqual([cursors[4]]);
  });

  test('concurrent commits of one member leave the furthest of them', async () => {
    const { stream, consumer, cursors } = await createConsumer();
    const { generation } = (await consumer.lease('a')).body;
    const cases = [consumer, createConsumerCase(other, stream, consumer.name)];
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        return cases[index % 2]?.commit(0, { cursor: cursors[index % 5], generation });
      }),
    );
    expect(answers.map((answer) => answer?.status)).toEqual(answers.map(() => 200));
    expect(await cursorsOf(consumer)).toEqual([cursors[4]]);
  });

  test('of one shard leaves the others where they are', async () => {
    const { consumer, cursors } = await createConsumer({ shards: 3 });
    const before = await cursorsOf(consumer);
    const { generation } = (await consumer.lease('a', { shard: 1 })).body;
    await consumer.commit(1, { cursor: cursors[3], generation });
    expect(await cursorsOf(consumer)).toEqual([before[0], cursors[3], before[2]]);
    const others = await consumer.commit(2, { cursor: cursors[3], generation });
    expect(others).toMatchObject({ status: 409, body: { code: 'stale_generation' } });
    const beyond = await consumer.commit(3, { cursor: cursors[3], generation });
    expect(beyond).toMatchObject({ status: 400, body: { code: 'invalid_parameter' } });
  });

  test('without a lease takes place only if the cursor before it is still the committed one', async () => {
    const { consumer, cursors } = await createConsumer();
    const [start] = await cursorsOf(consumer);
    const commit = (previous: string | undefined, cursor: string | undefined) =>
      consumer.commit(0, { cursor, previousCursor: previous });
    expect((await commit(start, cursors[1])).body).toMatchObject({ cursor: cursors[1], outdated: false });
    const conflict = await commit(start, cursors[2]);
    expect(conflict).toMatchObject({
      status: 409,
      body: { code: 'cursor_conflict', resumeCursor: cursors[1] },
    });
    const racing = await Promise.all([2, 3, 4].map((index) => commit(cursors[1], cursors[index])));
    expect(racing.filter((answer) => answer.status === 200)).toHaveLength(1);
    expect(racing.filter((answer) => answer.body.code === 'cursor_conflict')).toHaveLength(2);
    expect((await commit((await cursorsOf(consumer))[0], cursors[0])).body).toMatchObject({ outdated: true });
  });

  test('without a lease is refused while somebody has one, and where there are shards', async () => {
    const { stream, consumer, cursors } = await createConsumer();
    const [start] = await cursorsOf(consumer);
    await consumer.lease('a');
    const leased = await consumer.commit(0, { cursor: cursors[0], previousCursor: start });
    expect(leased).toMatchObject({ status: 409, body: { code: 'stale_generation' } });
    const sharded = createConsumerCase(collector, stream, 'sharded');
    await sharded.put({ shards: 2 });
    const refused = await sharded.commit(0, { cursor: cursors[0], previousCursor: start });
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_parameter' } });
  });

  test('of a cursor above the watermark is taken, as a read from there would be', async () => {
    const { stream, consumer } = await createConsumer();
    const future = formatTime(micros(new Date().toISOString()) + 3_600_000_000n);
    const { nextCursor } = await collector.read(stream, `from=${future}`);
    const { generation } = (await consumer.lease('a')).body;
    expect((await consumer.commit(0, { cursor: nextCursor, generation })).body).toMatchObject({
      cursor: nextCursor,
      behindMs: 0,
    });
  });

  test('of a cursor of another stream, or of none, is refused as a read from there is', async () => {
    const { consumer } = await createConsumer();
    const { cursors: foreign } = await createStream(1);
    const { generation } = (await consumer.lease('a')).body;
    for (const cursor of [foreign[0], 'abc', '']) {
      const refused = await consumer.commit(0, { cursor, generation });
      expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } });
      expect(await consumer.seek({ cursor })).toMatchObject({
        status: 400,
        body: { code: 'invalid_cursor' },
      });
    }
  });

  test.each([
    [{ generation: 1, previousCursor: 'x' }, 'invalid_parameter'],
    [{}, 'invalid_parameter'],
    [{ generation: 0 }, 'invalid_parameter'],
    [{ generation: 1, cursor: 7 }, 'invalid_parameter'],
  ])('with %j is refused', async (change, code) => {
    const { consumer, cursors } = await createConsumer();
    const refused = await consumer.commit(0, { cursor: cursors[0], ...change });
    expect(refused).toMatchObject({ status: 400, body: { code } });
  });
});

describe('seeking', () => {
  test('is the way back: it ends the leases of the shards that it moves, and their generations', async () => {
    const { consumer, cursors } = await createConsumer({ shards: 2 });
    const leases = [(await consumer.lease('a')).body, (await consumer.lease('b')).body];
    for (const { shard, generation } of leases)
      await consumer.commit(shard, { cursor: cursors[4], generation });
    const one = await consumer.seek({ cursor: cursors[1], shard: 1 });
    expect(one.body.shards.map(({ cursor, member }) => [cursor, member])).toEqual([
      [cursors[4], 'a'],
      [cursors[1], null],
    ]);
    const late = await consumer.commit(1, { cursor: cursors[4], generation: leases[1]?.generation });
    expect(late).toMatchObject({ status: 409, body: { code: 'stale_generation' } });
    const again = (await consumer.lease('b', { shard: 1 })).body;
    expect(again.cursor).toBe(cursors[1]);
    expect(again.generation).toBeGreaterThan(leases[1]?.generation ?? 0);

    const all = await consumer.seek({ from: 'earliest' });
    expect(new Set(all.body.shards.map(({ cursor }) => cursor)).size).toBe(1);
    expect(all.body.shards.every(({ member }) => member === null)).toBe(true);
  });

  test('goes forward too, and to the latest or a time', async () => {
    const { stream, consumer, page } = await createConsumer();
    await consumer.seek({ from: 'latest' });
    expect((await collector.read(stream, `cursor=${(await cursorsOf(consumer))[0]}`)).events).toEqual([]);
    await consumer.seek({ from: page.events[0]?.orderTime });
    expect((await collector.read(stream, `cursor=${(await cursorsOf(consumer))[0]}`)).events).toEqual(
      page.events,
    );
  });

  test.each([
    [{}],
    [{ from: 'latest', cursor: 'x' }],
    [{ from: 'yesterday' }],
    [{ from: 'latest', shard: 1 }],
  ])('with %j is refused', async (body) => {
    const { consumer } = await createConsumer();
    expect(await consumer.seek(body)).toMatchObject({ status: 400, body: { code: 'invalid_parameter' } });
  });
});

describe('what the stream has done meanwhile', () => {
  test('a cursor that retention has passed is refused with the place to go on from, which can be committed', async () => {
    const { stream, consumer, cursors, page } = await createConsumer();
    const { generation } = (await consumer.lease('a')).body;
    const mark = micros(page.events[0]?.orderTime ?? '') + 1n;
    await sql`update tidemark.streams set retained_mark = ${mark} where name = ${stream}`;
    const refused = await consumer.commit(0, { cursor: cursors[0], generation });
    expect(refused).toMatchObject({ status: 410, body: { code: 'cursor_expired' } });
    const { earliestCursor } = refused.body;
    const committed = await consumer.commit(0, { cursor: earliestCursor, generation });
    expect(committed).toMatchObject({ status: 200, body: { cursor: earliestCursor, outdated: false } });
    const early = createConsumerCase(collector, stream, 'too-early');
    const before = { from: '2020-01-01T00:00:00Z' };
    expect(await early.put(before)).toMatchObject({
      status: 410,
      body: { code: 'cursor_expired', earliestCursor },
    });
  });

  test('a cursor of an older epoch is refused with the place to go on from, which can be committed', async () => {
    const { stream, consumer, cursors, page } = await createConsumer();
    const { generation } = (await consumer.lease('a')).body;
    await consumer.commit(0, { cursor: cursors[4], generation });
    // As after a restore that lost the last events: the new epoch begins before what was committed.
    const start = micros(page.events[0]?.orderTime ?? '') + 1n;
    await sql`update tidemark.streams set epoch = 2, epoch_start = ${start} where name = ${stream}`;
    const refused = await consumer.commit(0, { cursor: cursors[4], generation });
    expect(refused).toMatchObject({ status: 409, body: { code: 'epoch_changed' } });
    expect(await cursorsOf(consumer)).toEqual([cursors[4]]);
    const { resumeCursor } = refused.body;
    const committed = await consumer.commit(0, { cursor: resumeCursor, generation });
    expect(committed).toMatchObject({ status: 200, body: { cursor: resumeCursor, outdated: false } });
    expect(await cursorsOf(consumer)).toEqual([resumeCursor]);
  });
});

describe('G12 a key', () => {
  test('that may read a stream may have consumers there, and nowhere else', async () => {
    const { stream } = await createConsumer();
    const { stream: secret } = await createStream(0);
    const { key, hash } = createKey('read', createClock().randomBytes);
    await sql`insert into tidemark.keys (hash, role, streams) values (${hash}, 'read', ${`{${stream}}`}::text::text[])`;
    expect((await createConsumerCase(collector, stream, 'mine', key).put()).status).toBe(200);
    const foreign = createConsumerCase(collector, secret, 'mine', key);
    const answers = [
      await foreign.put(),
      await foreign.get(),
      await foreign.lease('a'),
      await foreign.commit(0, {}),
      await foreign.seek({}),
      await foreign.remove(),
    ];
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 403));
    const listed = await collector.request(paths.consumers(secret), { key });
    expect(listed.status).toBe(403);
  });

  test('that may only write may not', async () => {
    const { stream } = await createStream(0);
    expect((await createConsumerCase(collector, stream, 'c', writeKey).put()).status).toBe(403);
  });
});

describe('a request about consumers', () => {
  test('of a stream that does not exist is answered so', async () => {
    const consumer = createConsumerCase(collector, 'nowhere', 'c');
    for (const answer of [await consumer.put(), await consumer.get(), await consumer.lease('a')])
      expect(answer).toMatchObject({ status: 404, body: { code: 'stream_not_found' } });
    expect((await collector.request(paths.consumers('nowhere'))).status).toBe(404);
  });

  test.each([
    [{ shards: 0 }, 400, 'invalid_parameter'],
    [{ shards: 65 }, 400, 'invalid_parameter'],
    [{ from: 'now' }, 400, 'invalid_parameter'],
    [{ form: 'latest' }, 400, 'invalid_parameter'],
    ['[1', 400, 'malformed'],
    ['[]', 400, 'invalid_parameter'],
    [JSON.stringify({ from: 'x'.repeat(20_000) }), 413, 'body_too_large'],
  ])('with the body %j is refused', async (body, status, code) => {
    const { stream } = await createStream(0);
    const reply = await collector.request(paths.consumer(stream, 'c'), { method: 'PUT', body });
    expect([reply.status, ((await reply.json()) as { code: string }).code]).toEqual([status, code]);
  });

  test('with a name that a consumer cannot have is refused', async () => {
    const { stream } = await createStream(0);
    for (const name of ['a b', 'x'.repeat(65)]) {
      const refused = await createConsumerCase(collector, stream, name).put();
      expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_parameter' } });
    }
  });
});
