import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let collector: TestCollector;
let sql: Sql;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await startTestCollector({}, database.url);
  sql = connect(database.url, 'test', 1, { idle_in_transaction_session_timeout: 0 });
});

afterAll(async () => {
  await Promise.all([collector.stop(), sql.end()]);
  await database.drop();
});

const event = (stream: string, id: string) => ({ stream, id, name: 'x' });
const firsts = (...streams: string[]) => collector.post(streams.map((stream) => event(stream, 'first')));

interface Way {
  readonly way: string;
  /** Holds all streams of these names until the transaction ends. */
  readonly hold: (session: Pick<Sql, 'unsafe'>, names: string) => Promise<unknown>;
}

const locked: Way = {
  way: 'is locked',
  hold: (session, names) =>
    session.unsafe(
      `select pg_advisory_xact_lock(1953064291, stream_id) from tidemark.streams where name like '${names}'`,
    ),
};

const claimed: Way = {
  way: 'has an id that a transaction keeps open',
  hold: (session, names) =>
    session.unsafe(
      `delete from tidemark.claims where stream_id in (select stream_id from tidemark.streams where name like '${names}')`,
    ),
};

test.each([locked, claimed])(
  'a stream that $way holds up no other, even where both writers meet one, and loses nothing when it is let go',
  async ({ way, hold }) => {
    const [slow, slower, other] = [`slow ${way}`, `slower ${way}`, `other ${way}`].map((name) =>
      name.replaceAll(' ', '-'),
    ) as [string, string, string];
    await firsts(slow, slower, other);
    const held: Promise<unknown>[] = [];
    await sql.begin(async (transaction) => {
      await hold(transaction, 'slow%');
      for (const stream of [slow, slower, slow, slower])
        held.push(collector.post([event(stream, 'first'), event(other, `beside ${held.length}`)]));
      const waits: number[] = [];
      for (let round = 0; round < 40; round++) {
        const startMs = performance.now();
        expect(await collector.post([event(other, `${round}`)])).toMatchObject({ accepted: 1 });
        waits.push(performance.now() - startMs);
      }
      // The first may have been in one transaction with what was held.
      expect(waits.filter((ms) => ms > 250).length).toBeLessThanOrEqual(2);
      await transaction.unsafe('rollback');
    });
    expect(await Promise.all(held)).toEqual(
      held.map(() => expect.objectContaining({ accepted: 1, duplicates: 1, rejected: 0 })),
    );
  },
);

test('G3 what cannot be stored while its stream is held is answered 503, and may be sent again', async () => {
  await firsts('stuck');
  await sql.begin(async (transaction) => {
    await locked.hold(transaction, 'stuck');
    const reply = await collector.request('/v1/events', {
      method: 'POST',
      body: { events: [event('stuck', 'second')] },
    });
    expect(reply.status).toBe(503);
    expect(await reply.json()).toMatchObject({
      code: 'store_unavailable',
      detail: expect.stringContaining('held by another transaction') as string,
    });
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  });
  expect(await collector.post([event('stuck', 'second')])).toMatchObject({ accepted: 1 });
});
