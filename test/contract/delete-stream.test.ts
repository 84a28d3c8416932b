import type { Problem } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { readKey, startTestCollector, type TestCollector } from '../harness/collector.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { createRandom } from '../harness/seed.ts';
import { type Edit, editFunction } from '../torture/outside.ts';

let database: TestDatabase;
let collector: TestCollector;
/** Another one on the same database. */
let other: TestCollector;
let sql: Sql;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await startTestCollector({}, database.url);
  other = await startTestCollector({}, database.url);
  sql = connect(database.url, 'test', 2, { idle_in_transaction_session_timeout: 0 });
});

afterAll(async () => {
  await Promise.all([collector.stop(), other.stop(), sql.end()]);
  await database.drop();
});

async function remove(stream: string): Promise<number> {
  return (await collector.request(`/v1/streams/${stream}`, { method: 'DELETE' })).status;
}

async function refusal(path: string): Promise<[number, string]> {
  const reply = await collector.request(path, { key: readKey });
  return [reply.status, ((await reply.json()) as Problem).code];
}

const event = (stream: string, id: string) => ({ stream, id, name: 'x' });
const makeStream = (stream: string) =>
  collector.request(`/v1/streams/${stream}`, { method: 'PUT', body: { watermarkDelayMs: 0 } });

describe('DELETE /v1/streams/{stream}', () => {
  test('a deleted stream is gone at once, on every collector, and so is what it would have given', async () => {
    await makeStream('gone');
    await collector.post([event('gone', '1')]);
    await other.post([event('gone', '2')]);
    await eventually('both can be read', async () => (await collector.readAll('gone')).length === 2);
    const reply = await collector.request('/v1/streams/gone', { method: 'DELETE' });
    expect([reply.status, await reply.json()]).toEqual([200, { stream: 'gone', deleted: true }]);
    for (const path of ['/v1/streams/gone', '/v1/streams/gone/events']) {
      expect(await refusal(path)).toEqual([404, 'stream_not_found']);
      expect((await other.request(path)).status).toBe(404);
    }
    expect(await remove('gone')).toBe(404);
    expect(await remove('never-there')).toBe(404);
    expect(await remove('no%20name')).toBe(404);
  });

  test('the next event makes another stream of that name: cursors and ids of the old one mean nothing to it', async () => {
    await makeStream('again');
    await collector.post([event('again', '1')]);
    await other.post([event('again', '2')]);
    const { nextCursor } = await collector.read('again', 'wait=5');
    expect(await remove('again')).toBe(200);
    expect(await other.post([event('again', '1')])).toMatchObject({ accepted: 1, duplicates: 0 });
    expect(await collector.post([event('again', '1')])).toMatchObject({ accepted: 0, duplicates: 1 });
    const path = `/v1/streams/again/events?cursor=${nextCursor}`;
    expect(await refusal(path)).toEqual([400, 'invalid_cursor']);
    const { events } = await collector.read('again', 'wait=10');
    expect(events.map(({ id }) => id)).toEqual(['1']);
  });

  test('ends long polls', async () => {
    await makeStream('polled');
    const polled = collector.request('/v1/streams/polled/events?from=latest&wait=30', { key: readKey });
    await eventually('it waits', async () => (await waiting()) === 1);
    expect(await remove('polled')).toBe(200);
    expect((await polled).status).toBe(404);
  });

  test('takes rows and claims away afterwards, and forgets the stream when nothing is left of it', async () => {
    await makeStream('swept');
    const batch = Array.from({ length: 1_000 }, (_, index) => event('swept', `${index}`));
    await collector.post(batch);
    const [row] = await sql<
      [{ stream_id: number }]
    >`select stream_id from tidemark.streams where name = 'swept'`;
    await collector.post([event('kept', '1')]);
    const left = async (): Promise<number> => {
      const [counted] = await sql<[{ count: number }]>`
        select ((select count(*) from tidemark.events where stream_id = ${row.stream_id})
          + (select count(*) from tidemark.claims where stream_id = ${row.stream_id})
          + (select count(*) from tidemark.sweeps where stream_id = ${row.stream_id}))::integer as count`;
      return counted.count;
    };
    expect(await left()).toBe(2_000);
    expect(await remove('swept')).toBe(200);
    await eventually('nothing is left', async () => (await left()) === 0);
    expect(await collector.post([event('kept', '1')])).toMatchObject({ duplicates: 1 });
  });

  test('waits for an append that is under way, and that append is part of what was deleted', async () => {
    await makeStream('held');
    await collector.post([event('held', '1')]);
    const [row] = await sql<
      [{ stream_id: number }]
    >`select stream_id from tidemark.streams where name = 'held'`;
    let deleted = false;
    const removed = await sql.begin(async (transaction) => {
      await transaction`select pg_advisory_xact_lock_shared(1953064291, ${row.stream_id})`;
      const removing = remove('held').then((status) => {
        deleted = true;
        return status;
      });
      await eventually('it waits', async () => {
        const [lock] = await sql<[{ count: number }]>`
          select count(*)::integer as count from pg_locks
          where locktype = 'advisory' and classid = 1953064291 and objid = ${row.stream_id} and not granted
            and database = (select oid from pg_database where datname = current_database())`;
        return lock.count === 1;
      });
      expect(deleted).toBe(false);
      // A write that comes now waits behind it, and finds the stream gone.
      const posted = collector.post([event('held', '2')]);
      return { removing, posted };
    });
    expect(await removed.removing).toBe(200);
    expect(await removed.posted).toMatchObject({ accepted: 1 });
    const { events } = await collector.read('held', 'wait=10');
    expect(events.map(({ id }) => id)).toEqual(['2']);
  });

  test('gives up, and deletes nothing, while an append does not end', async () => {
    await makeStream('stuck');
    await collector.post([event('stuck', '1')]);
    const [row] = await sql<
      [{ stream_id: number }]
    >`select stream_id from tidemark.streams where name = 'stuck'`;
    await sql.begin(async (transaction) => {
      await transaction`select pg_advisory_xact_lock_shared(1953064291, ${row.stream_id})`;
      expect(await remove('stuck')).toBe(503);
    });
    expect((await collector.read('stuck', 'wait=10')).events).toHaveLength(1);
  });

  test.each([
    ['waits for the appends that hold the stream: nothing is stored into a stream that is gone', [], 0],
    [
      '(the check itself) that does not wait is found out: an acknowledged event is nowhere',
      [[/PERFORM pg_advisory_xact_lock[^;]*;/, '']],
      1,
    ],
  ] satisfies [string, Edit[], number][])('G1 a deletion that %s', async (_title, edits, lost) => {
    const takeOut = [
      await editFunction(sql, 'append', [[/RETURN taken;\s*END/, 'PERFORM pg_sleep(0.4); $&']]),
      ...(edits.length === 0 ? [] : [await editFunction(sql, 'delete_stream', edits)]),
    ];
    onTestFinished(async () => {
      for (const one of takeOut) await one();
      await sql`delete from tidemark.events e where not exists (select from tidemark.streams s where s.stream_id = e.stream_id)`;
    });
    await makeStream('slow');
    const posted = collector.post([event('slow', '1')]);
    await eventually('it is stored, but not yet committed', async () => (await waitingFor('PgSleep')) > 0);
    expect(await remove('slow')).toBe(200);
    expect(await posted).toMatchObject({ accepted: 1 });
    expect(await orphans()).toBe(lost);
  });

  test('G1 G2 whoever writes while a stream is deleted again and again: what was acknowledged after a deletion is in the stream, nothing from before comes back', async () => {
    const random = createRandom();
    const stream = 'churned';
    await makeStream(stream);
    const rounds = 8;
    let round = 0;
    const acknowledged = new Map<string, number>();
    let sent = 0;
    let writing = true;
    const writers = [collector, other, collector, other].map(async (target, writer) => {
      while (writing) {
        // The round it belongs to if it is stored before the next deletion: at least the one it was sent in.
        const began = round;
        const batch = Array.from({ length: 1 + random.below(20) }, () => `${writer}-${sent++}`);
        const elsewhere = random.below(2) === 0 ? [event('neighbour', `n-${batch[0]}`)] : [];
        const reply = await target.request('/v1/events', {
          body: { events: [...batch.map((id) => event(stream, id)), ...elsewhere] },
        });
        if (reply.status === 200) for (const id of batch) acknowledged.set(id, began);
        else expect(reply.status).toBe(503);
      }
    });
    for (; round < rounds; round++) {
      await eventually('events were acknowledged in this round', () =>
        [...acknowledged.values()].some((began) => began === round),
      );
      const before = new Set(acknowledged.keys());
      const status = await remove(stream);
      expect(status).toBe(200);
      await collector.request(`/v1/streams/${stream}`, { method: 'PUT', body: { watermarkDelayMs: 0 } });
      const page = await other.read(stream, 'limit=10000');
      expect(page.events.filter(({ id }) => before.has(id))).toEqual([]);
    }
    await eventually('events were acknowledged in the last round', () =>
      [...acknowledged.values()].some((began) => began === rounds),
    );
    writing = false;
    await Promise.all(writers);
    const last = [...acknowledged].filter(([, began]) => began === rounds).map(([id]) => id);
    await eventually('all of them can be read', async () => {
      const ids = new Set((await collector.readAll(stream)).map(({ id }) => id));
      return last.every((id) => ids.has(id));
    });
    const all = (await collector.readAll(stream)).map(({ id }) => id);
    expect(new Set(all).size).toBe(all.length);
    expect(await orphans()).toBe(0);
    const neighbours = await collector.readAll('neighbour');
    expect(new Set(neighbours.map(({ id }) => id)).size).toBe(neighbours.length);
  });
});

/** Events of streams that are gone, when everything that belonged to those should be gone as well. */
async function orphans(): Promise<number> {
  await eventually('everything is swept', async () => {
    const [row] = await sql<
      [{ count: number }]
    >`select count(*)::integer as count from tidemark.sweeps where deleted_at is not null`;
    return row.count === 0;
  });
  const [row] = await sql<[{ count: number }]>`
    select count(*)::integer as count from tidemark.events e
    where not exists (select from tidemark.streams s where s.stream_id = e.stream_id)`;
  return row.count;
}

async function waitingFor(event: string): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    select count(*)::integer as count from pg_stat_activity
    where wait_event = ${event} and datname = current_database()`;
  return row.count;
}

/** Long polls that wait at the first collector. */
async function waiting(): Promise<number> {
  const text = await (await collector.request('/metrics')).text();
  return Number(/^tidemark_readers_waiting (\d+)$/m.exec(text)?.[1]);
}
