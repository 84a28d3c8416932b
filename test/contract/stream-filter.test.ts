import type { Page, Problem, StoredEvent } from '@tidemark/core/wire';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { fillStream, makeStream, numbered } from '../harness/filled-stream.ts';

let collector: TestCollector;
let stream: string;
let all: readonly StoredEvent[];

beforeAll(async () => {
  collector = await startTestCollector();
  stream = await makeStream(collector);
  await fillStream(
    collector,
    stream,
    numbered(60, (index) => ({
      name: ['placed', 'paid', 'sent'][index % 3],
      ...(index % 4 === 0 ? {} : { key: `user-${index % 7}` }),
    })),
  );
  all = await collector.readAll(stream);
  if (all.length !== 60) throw new Error(`${all.length} events`);
});

afterAll(() => collector.stop());

async function follow(query: string): Promise<readonly StoredEvent[]> {
  const events: StoredEvent[] = [];
  let page: Page = await collector.read(stream, query);
  for (;;) {
    events.push(...page.events);
    if (!page.hasMore) return events;
    page = await collector.read(stream, `${query}&cursor=${page.nextCursor}`);
  }
}

const partOf = ({ key, id }: StoredEvent, parts: number): number =>
  createHash('md5')
    .update(key ?? id)
    .digest()
    .readUInt32BE(0) % parts;

describe('a filtered read', () => {
  test.each(['name=paid', 'name=paid,sent', 'name=nothing'])(
    '%s gives the events of these names',
    async (query) => {
      const names = query.slice('name='.length).split(',');
      expect(await follow(`${query}&limit=4`)).toEqual(all.filter(({ name }) => names.includes(name)));
    },
  );

  test('key gives the events with this key', async () => {
    expect(await follow('key=user-3&limit=2')).toEqual(all.filter(({ key }) => key === 'user-3'));
    expect(await follow(`key=${encodeURIComponent("'; drop table tidemark.events; --")}`)).toEqual([]);
  });

  test('name and key together give what agrees with both', async () => {
    const wanted = all.filter(({ key, name }) => key === 'user-3' && name === 'sent');
    expect(await follow('key=user-3&name=sent')).toEqual(wanted);
  });

  test.each([1, 2, 3, 16])(
    'G6 all of %i shards together give every event once, and a key is in one of them',
    async (parts) => {
      const shards: StoredEvent[][] = [];
      for (let index = 0; index < parts; index++) {
        const events = await follow(`shard=${index}/${parts}&limit=7`);
        expect(events).toEqual(all.filter((event) => partOf(event, parts) === index));
        shards.push([...events]);
      }
      expect(shards.flat().length).toBe(all.length);
    },
  );

  test('that finds nothing moves on with the watermark, and a long poll waits on for what it wants', async () => {
    const quiet = await makeStream(collector);
    const before = await collector.read(quiet, 'name=awaited');
    expect(before).toMatchObject({ events: [], hasMore: false });
    const waiting = collector.read(quiet, `name=awaited&cursor=${before.nextCursor}&wait=20`);
    await fillStream(collector, quiet, [{ name: 'other', id: 'o-1' }]);
    await collector.post([{ stream: quiet, name: 'awaited', id: 'a-1' }]);
    const page = await waiting;
    expect(page.events.map(({ id }) => id)).toEqual(['a-1']);
    expect(page.nextCursor > before.nextCursor).toBe(true);
  });

  test.each([
    'name=',
    'name=a,,b',
    `name=${Array.from({ length: 101 }, () => 'a').join(',')}`,
    'shard=1/1',
    'shard=-1/2',
    'shard=0/0',
    'shard=0/1025',
    'shard=half',
    'onExpired=ignore',
    'consumer=no/name',
    'consumer=c&from=latest',
  ])('%s is refused, and the detail names the parameter', async (query) => {
    const reply = await collector.request(`/v1/streams/${stream}/events?${query}`);
    const problem = (await reply.json()) as Problem;
    expect([reply.status, problem.code]).toEqual([400, 'invalid_parameter']);
    expect(problem.detail).toContain(query.split('=')[0]);
  });
});

describe('a read of a consumer', () => {
  test('begins at its committed cursor, and moves nothing', async () => {
    const path = `/v1/streams/${stream}/consumers/billing`;
    await collector.request(path, { method: 'PUT', body: {} });
    const first = await collector.read(stream, 'consumer=billing&limit=5');
    expect(first.events).toEqual(all.slice(0, 5));
    expect((await collector.read(stream, 'consumer=billing&limit=5')).events).toEqual(first.events);
    const lease = await collector.request(`${path}/lease`, { body: { member: 'm', ttlMs: 30_000 } });
    const { generation } = (await lease.json()) as { generation: number };
    const body = { cursor: first.nextCursor, generation };
    expect((await collector.request(`${path}/shards/0/cursor`, { method: 'PUT', body })).status).toBe(200);
    expect((await collector.read(stream, 'consumer=billing&limit=5')).events).toEqual(all.slice(5, 10));
  });

  test('of several shards says which one', async () => {
    await collector.request(`/v1/streams/${stream}/consumers/many`, { method: 'PUT', body: { shards: 3 } });
    for (const query of ['consumer=many', 'consumer=many&shard=0/2']) {
      const reply = await collector.request(`/v1/streams/${stream}/events?${query}`);
      expect([reply.status, await reply.json()]).toMatchObject([400, { code: 'invalid_parameter' }]);
    }
    const page = await collector.read(stream, 'consumer=many&shard=2/3');
    expect(page.events).toEqual(all.filter((event) => partOf(event, 3) === 2));
  });

  test('that does not exist is not found', async () => {
    const reply = await collector.request(`/v1/streams/${stream}/events?consumer=nobody`);
    expect([reply.status, await reply.json()]).toMatchObject([404, { code: 'consumer_not_found' }]);
  });
});
