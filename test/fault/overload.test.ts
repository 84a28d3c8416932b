// Ten times too much: what is refused is refused cleanly, what is accepted is stored once, and nothing grows.

import { headers, type BatchReply, type Problem, paths } from '@tidemark/core/wire';
import { Pool } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { type Proxy, startProxy } from '../harness/proxy.ts';
import { type ServedCollector, serveCollector, testKeys } from '../harness/served-collector.ts';

const batches = 600;
const perBatch = 100;
/** What one transaction brings to Postgres and back takes about 100 ms: far less comes through than is offered. */
const delayMs = 50;

let database: TestDatabase;
let sql: Sql;
let proxy: Proxy;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  sql = connect(database.url, 'test', 1, { idle_in_transaction_session_timeout: 0 });
  proxy = await startProxy(() => ({ kind: 'far', ms: delayMs }));
  const url = new URL(database.url);
  proxy.aim(Number(url.port));
  url.host = `127.0.0.1:${proxy.port}`;
  collector = await serveCollector(url.href);
});

afterAll(async () => {
  await collector.stop();
  await proxy.close();
  await sql.end();
  await database.drop();
});

interface Answer {
  readonly batch: number;
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly pressure: number;
  readonly body: BatchReply & Problem;
}

async function post(pool: Pool, batch: number): Promise<Answer> {
  const events = Array.from({ length: perBatch }, (_, index) => ({
    id: `${batch}/${index}`,
    name: 'much',
    props: { filling: 'x'.repeat(200) },
  }));
  const answer = await pool.request({
    method: 'POST',
    path: paths.events,
    headers: { authorization: `Bearer ${testKeys.write}`, 'content-type': 'application/json' },
    body: JSON.stringify({ events }),
  });
  const header = answer.headers[headers.pressure.toLowerCase()];
  return {
    batch,
    status: answer.statusCode,
    retryAfter: answer.headers['retry-after'] as string | undefined,
    pressure: Number(header),
    body: (await answer.body.json()) as BatchReply & Problem,
  };
}

test('G3 G5 under ten times too much everything is answered: accepted and stored once, or refused with the time to come back', async () => {
  const pool = new Pool(collector.url, { connections: 300 });
  try {
    const answers = await Promise.all(Array.from({ length: batches }, (_, batch) => post(pool, batch)));
    const accepted = answers.filter(({ status }) => status === 200);
    const refused = answers.filter(({ status }) => status !== 200);
    expect(accepted.length).toBeGreaterThan(0);
    expect(refused.length).toBeGreaterThan(0);
    for (const { status, retryAfter, pressure, body } of refused) {
      expect([status, body.code]).toEqual([429, 'overloaded']);
      expect(retryAfter).toMatch(/^[1-9]\d*$/);
      expect(body.retryAfterMs).toBeGreaterThanOrEqual(1_000);
      expect(pressure).toBe(1);
    }
    // Spread, so that they do not return together.
    expect(new Set(refused.map(({ body }) => body.retryAfterMs)).size).toBeGreaterThan(refused.length / 4);

    for (const { body } of accepted)
      expect(body).toMatchObject({ accepted: perBatch, durability: 'committed' });
    const stored = await sql<{ batch: string; count: number }[]>`
      select split_part(id, '/', 1) as batch, count(*)::integer as count from tidemark.events group by 1`;
    expect(new Map(stored.map(({ batch, count }) => [Number(batch), count]))).toEqual(
      new Map(accepted.map(({ batch }) => [batch, perBatch])),
    );

    // Those who come back when it is over are served, and the pressure is gone.
    for (const { batch } of refused.slice(0, 5)) expect((await post(pool, batch)).status).toBe(200);
    await eventually('the pressure is gone', async () => (await post(pool, 0)).pressure < 0.5);
  } finally {
    await pool.destroy();
  }
});

test('G5 while all connections to Postgres are taken, and nothing moves, requests end at their deadlines and what follows is served', async () => {
  const pool = new Pool(collector.url, { connections: 50 });
  try {
    // Appends wait for a lock that somebody else has on the table.
    await sql.begin(async (transaction) => {
      await transaction`lock table tidemark.events in access exclusive mode`;
      const answers = await Promise.all(Array.from({ length: 40 }, (_, at) => post(pool, batches + at)));
      for (const { status, body, retryAfter } of answers) {
        expect(['store_unavailable', 'overloaded']).toContain(body.code);
        expect([503, 429]).toContain(status);
        expect(retryAfter).toMatch(/^[1-9]\d*$/);
      }
      expect(answers.some(({ status }) => status === 503)).toBe(true);
    });
    await eventually('it takes events again', async () => (await post(pool, batches)).status === 200, 20_000);
    for (let at = 0; at < 40; at++) expect((await post(pool, batches + at)).status).toBe(200);
    const [row] = await sql<[{ count: number }]>`
      select count(*)::integer as count from tidemark.events where split_part(id, '/', 1)::integer >= ${batches}`;
    expect(row.count).toBe(40 * perBatch);
  } finally {
    await pool.destroy();
  }
});
