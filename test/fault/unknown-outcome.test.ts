// A transaction that was committed, and whose answer never came: the one case in which a collector does not know.

import { type BatchReply, paths, type Problem } from '@tidemark/core/wire';
import { expect, onTestFinished, test } from 'vitest';
import { connect } from '../../collector/src/store/database.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase } from '../harness/postgres.ts';
import { startProxy } from '../harness/proxy.ts';
import { serveCollector, testKeys } from '../harness/served-collector.ts';

/** So long an answer of Postgres is on its way: time enough to see that it was committed. */
const delayMs = 100;

test('G2 G3 is answered 503 as unknown, and what is sent again is a duplicate', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const sql = connect(database.url, 'test', 1, {});
  onTestFinished(() => sql.end());
  const proxy = await startProxy(() => ({ kind: 'far', ms: delayMs }));
  onTestFinished(() => proxy.close());
  const url = new URL(database.url);
  proxy.aim(Number(url.port));
  url.host = `127.0.0.1:${proxy.port}`;
  const collector = await serveCollector(url.href);
  onTestFinished(() => collector.stop());

  const first = { id: '0', stream: 'once', name: 'x' };
  const events = Array.from({ length: 50 }, (_, at) => ({ ...first, id: `${at}` }));
  const post = (sent: readonly object[]) =>
    fetch(`${collector.url}${paths.events}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${testKeys.write}`, 'content-type': 'application/json' },
      body: JSON.stringify({ events: sent }),
    });
  const stored = async (): Promise<number> => {
    const [row] = await sql<[{ count: number }]>`select count(*)::integer as count from tidemark.events`;
    return row.count;
  };

  // Connections and the stream are made first, which takes many answers.
  expect((await post([{ ...first, id: 'before' }])).status).toBe(200);
  const answer = post(events);
  await eventually('they are committed', async () => (await stored()) > 1);
  proxy.cut();
  const reply = await answer;
  const problem = (await reply.json()) as Problem;
  expect([reply.status, problem.code]).toEqual([503, 'store_unavailable']);
  expect(problem.detail).toContain('unknown');
  expect(reply.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);

  let again: BatchReply | undefined;
  await eventually('it takes them again', async () => {
    const next = await post(events);
    if (next.status === 200) again = (await next.json()) as BatchReply;
    return next.status === 200;
  });
  expect(again).toMatchObject({ accepted: 0, duplicates: events.length });
  expect(await stored()).toBe(1 + events.length);
});
