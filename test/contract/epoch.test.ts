import type { Page, Problem } from '@tidemark/core/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readKey, startTestCollector, type TestCollector, writeKey } from '../harness/collector.ts';
import { createConsumerCase } from '../harness/consumer-case.ts';
import { eventually } from '../harness/eventually.ts';

let collector: TestCollector;
beforeAll(async () => {
  collector = await startTestCollector();
});
afterAll(() => collector.stop());

async function page(stream: string, cursor: string): Promise<{ status: number; body: Page & Problem }> {
  const response = await collector.request(`/v1/streams/${stream}/events?cursor=${cursor}`, { key: readKey });
  return { status: response.status, body: (await response.json()) as Page & Problem };
}

const readable = (stream: string, count: number) =>
  eventually('all can be read', async () => (await collector.readAll(stream)).length === count);

test('POST /v1/epoch ends the epoch of every cursor, and says where readers go on', async () => {
  await collector.request('/v1/streams/s', { method: 'PUT', body: { watermarkDelayMs: 0 } });
  await collector.post(Array.from({ length: 4 }, (_, index) => ({ id: `${index}`, stream: 's', name: 'n' })));
  await readable('s', 4);
  const events = await collector.readAll('s');
  const { nextCursor } = await collector.read('s');
  const consumer = createConsumerCase(collector, 's', 'c');
  await consumer.put();
  const { body: lease } = await consumer.lease('m');
  const { generation } = lease;
  await consumer.commit(0, { cursor: events[1]?.cursor, generation });

  const begun = await collector.request('/v1/epoch', { method: 'POST' });
  expect(begun.status).toBe(200);
  const { streams, epochStart } = (await begun.json()) as { streams: number; epochStart: string };
  expect(streams).toBe(1);
  expect(epochStart > (events[3]?.orderTime ?? '')).toBe(true);
  const late = { id: 'later', stream: 's', name: 'n', occurredAt: events[0]?.occurredAt };
  await collector.post([late]);
  await readable('s', 5);

  const old = await page('s', events[1]?.cursor ?? '');
  expect(old).toMatchObject({ status: 409, body: { code: 'epoch_changed' } });
  const resumed = await page('s', old.body.resumeCursor ?? '');
  expect(resumed.body.events.map(({ id }) => id)).toEqual(['2', '3', 'later']);
  const end = await page('s', nextCursor);
  const rest = await page('s', end.body.resumeCursor ?? '');
  expect(rest.body.events.map(({ id }) => id)).toEqual(['later']);

  // The committed cursor of a consumer goes on in the new epoch; an older one is refused with the place to go on.
  const refused = await consumer.commit(0, { cursor: nextCursor, generation });
  expect(refused).toMatchObject({ status: 409, body: { code: 'epoch_changed' } });
  const committed = await consumer.commit(0, { cursor: refused.body.resumeCursor, generation });
  expect(committed).toMatchObject({ status: 200, body: { outdated: false } });
});

test('G12 only the admin may begin an epoch', async () => {
  for (const key of [readKey, writeKey])
    expect((await collector.request('/v1/epoch', { method: 'POST', key })).status).toBe(403);
});
