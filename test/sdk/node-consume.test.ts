import type { Page } from '@tidemark/core/wire';
import { type Client, type ConsumeOptions, createClient, TidemarkError } from '@tidemark/node';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { type Proxy, startProxy } from '../harness/proxy.ts';
import { type ServedCollector, serveCollector, testKeys } from '../harness/served-collector.ts';
import { createConsumerCase } from '../harness/consumer-case.ts';
import { type ConsumerProcess, runConsumer } from './run-consumer.ts';

let database: TestDatabase;
let collector: ServedCollector;
let proxy: Proxy;
let streams = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url);
  proxy = await startProxy(() => ({ kind: 'fine' }));
  aim();
});

afterAll(async () => {
  await proxy.close();
  await collector.stop();
  await database.drop();
});

function aim(): void {
  proxy.aim(Number(new URL(collector.url).port));
}

async function ask(path: string, method: string, body?: object): Promise<Response> {
  return collector.app.request(path, {
    method,
    headers: { authorization: `Bearer ${testKeys.admin}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
}

/** A stream of its own that can be read at once. */
async function makeStream(): Promise<string> {
  const stream = `s${(streams += 1)}`;
  expect((await ask(`/v1/streams/${stream}`, 'PUT', { watermarkDelayMs: 0 })).status).toBe(200);
  return stream;
}

let sent = 0;

async function post(stream: string, count: number): Promise<string[]> {
  const events = Array.from({ length: count }, () => ({ id: `e${(sent += 1)}`, stream, name: 'n' }));
  expect((await ask('/v1/events', 'POST', { events })).status).toBe(200);
  return events.map(({ id }) => id);
}

function createTestClient(): Client {
  const client = createClient({ url: proxy.url, key: testKeys.read, exitMs: 0, requestTimeoutMs: 2_000 });
  onTestFinished(() => client.close({ timeoutMs: 1_000 }));
  return client;
}

function run(
  stream: string,
  member: string,
  change: { leaseMs?: number; handleMs?: number; pageEvents?: number } = {},
): ConsumerProcess {
  const task = { url: proxy.url, key: testKeys.read, stream, consumer: 'c', member };
  return runConsumer({ ...task, leaseMs: 1_000, handleMs: 0, pageEvents: 5, ...change });
}

const inspect = async (stream: string) => {
  const request = (path: string, options: { method?: string } = {}) => ask(path, options.method ?? 'GET');
  const { body } = await createConsumerCase({ request }, stream, 'c').get();
  return body;
};

/** Handles everything, and keeps what was handled. */
function collect(client: Client, stream: string, options: Partial<ConsumeOptions> = {}) {
  const ids: string[] = [];
  const stop = new AbortController();
  const over = client.consume(
    stream,
    { consumer: 'c', pageEvents: 5, leaseMs: 2_000, signal: stop.signal, ...options },
    (page) => {
      ids.push(...page.events.map(({ id }) => id));
    },
  );
  return {
    ids,
    over,
    async stop() {
      stop.abort();
      await over;
    },
  };
}

describe('a consumer of the node SDK', () => {
  test('G6 handles every event once and in order, and the next one goes on where it stopped', async () => {
    const stream = await makeStream();
    const first = await post(stream, 12);
    const client = createTestClient();
    const one = collect(client, stream);
    await eventually('the first are handled', () => one.ids.length === 12);
    expect(one.ids).toEqual(first);
    await one.stop();
    expect((await inspect(stream)).shards).toMatchObject([{ shard: 0, member: null }]);

    const second = await post(stream, 7);
    const other = collect(createTestClient(), stream);
    await eventually('the others are handled', () => other.ids.length === 7);
    expect(other.ids).toEqual(second);
    await other.stop();
  });

  test('G6 gives a page again when its handler has thrown, and nothing that follows before', async () => {
    const stream = await makeStream();
    const ids = await post(stream, 8);
    const calls: string[] = [];
    const errors: unknown[] = [];
    const stop = new AbortController();
    const over = createTestClient().consume(
      stream,
      {
        consumer: 'c',
        pageEvents: 4,
        signal: stop.signal,
        onError: (error, { attempt }) => errors.push([String(error), attempt]),
      },
      async (page, { attempt }) => {
        calls.push(`${attempt}: ${page.events.map(({ id }) => id).join()}`);
        if (calls.length < 3) throw new Error('no');
        await Promise.resolve();
      },
    );
    await eventually('all are handled', () => calls.length === 4);
    stop.abort();
    await over;
    const [first, second] = [ids.slice(0, 4).join(), ids.slice(4).join()];
    expect(calls).toEqual([`1: ${first}`, `2: ${first}`, `3: ${first}`, `1: ${second}`]);
    expect(errors).toEqual([
      ['Error: no', 1],
      ['Error: no', 2],
    ]);
  });

  test('G6 does not notice a collector that restarts, whatever it is about to do', async () => {
    const stream = await makeStream();
    const all = await post(stream, 5);
    const consumer = collect(createTestClient(), stream);
    for (let restart = 0; restart < 3; restart += 1) {
      await eventually('all are handled', () => consumer.ids.length >= all.length);
      proxy.aim(undefined);
      proxy.cut();
      await collector.stop();
      collector = await serveCollector(database.url);
      all.push(...(await post(stream, 6)));
      aim();
    }
    await eventually('all are handled', () => consumer.ids.length >= all.length);
    await consumer.stop();
    // A commit whose answer was cut off may be unknown: then a page comes again, whole.
    expect([...new Set(consumer.ids)]).toEqual(all);
  });

  test('G6 goes on in a new epoch, and in one that begins while its handler works', async () => {
    const stream = await makeStream();
    const before = await post(stream, 5);
    const ids: string[] = [];
    const stop = new AbortController();
    const over = createTestClient().consume(
      stream,
      { consumer: 'c', pageEvents: 5, signal: stop.signal },
      async (page) => {
        ids.push(...page.events.map(({ id }) => id));
        if (ids.length === 5) expect((await ask('/v1/epoch', 'POST')).status).toBe(200);
      },
    );
    await eventually('the first are handled', () => ids.length === 5);
    const after = await post(stream, 3);
    await eventually('all are handled', () => ids.length === 8);
    expect((await ask('/v1/epoch', 'POST')).status).toBe(200);
    const last = await post(stream, 3);
    await eventually('the last are handled', () => ids.length === 11);
    stop.abort();
    await over;
    expect(ids).toEqual([...before, ...after, ...last]);
  });

  test('waits for a stream that nobody has sent anything to yet', async () => {
    const stream = `s${(streams += 1)}`;
    const consumer = collect(createTestClient(), stream);
    const [id] = await post(stream, 1);
    await ask(`/v1/streams/${stream}`, 'PUT', { watermarkDelayMs: 0 });
    await eventually('it is handled', () => consumer.ids.length === 1);
    expect(consumer.ids).toEqual([id]);
    await consumer.stop();
  });

  test('moves its cursor on in a quiet stream, too', async () => {
    const stream = await makeStream();
    const consumer = collect(createTestClient(), stream);
    const [before] = (await inspect(stream)).shards ?? [];
    await post(stream, 1);
    await eventually('it is committed', async () => {
      const [now] = (await inspect(stream)).shards ?? [];
      return now !== undefined && now.cursor > (before?.cursor ?? '');
    });
    await consumer.stop();
  });

  test('ends with what makes going on impossible', async () => {
    const stream = await makeStream();
    const client = createTestClient();
    const consumer = collect(client, stream);
    await eventually('it is there', async () => (await inspect(stream)).shards?.[0]?.member != null);
    const conflict = collect(createTestClient(), stream, { shards: 3 });
    await expect(conflict.over).rejects.toMatchObject({ code: 'consumer_conflict' });
    await ask(`/v1/streams/${stream}/consumers/c`, 'DELETE');
    await post(stream, 1);
    const error = await consumer.over.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TidemarkError);
    expect(error).toMatchObject({ code: 'consumer_not_found' });
    await expect(collect(client, stream, { leaseMs: 5 }).over).rejects.toThrow(TypeError);
  });
});

describe('consumers in several processes', () => {
  test('G6 another takes over from one that was killed, and what it had not committed is handled again', async () => {
    const stream = await makeStream();
    // More than can be done before the other one is there, on any machine.
    const ids = await post(stream, 1_000);
    const first = run(stream, 'first', { handleMs: 150 });
    await eventually('it works', () => first.handled().length >= 10, 20_000);
    const second = run(stream, 'second', { pageEvents: 200 });
    await eventually('the other one waits', () => second.output().includes('ready'), 20_000);
    first.child.kill('SIGKILL');
    await first.ended;
    await eventually('the other one has done the rest', () => second.handled().at(-1) === ids.at(-1), 20_000);
    const done = first.handled();
    const resumed = ids.indexOf(second.handled()[0] ?? '');
    expect(second.handled()).toEqual(ids.slice(resumed));
    // At most the page that was at work, and the one whose commit was under way.
    expect(done).toEqual(ids.slice(0, done.length));
    expect(resumed).toBeLessThanOrEqual(done.length);
    expect(done.length - resumed).toBeLessThanOrEqual(5);
  });

  test('G6 one that was stopped for too long cannot commit, and takes no further page', async () => {
    const stream = await makeStream();
    const ids = await post(stream, 15);
    const slow = run(stream, 'slow', { handleMs: 400 });
    await eventually('it works', () => slow.begun().length >= 5, 20_000);
    slow.child.kill('SIGSTOP');
    const other = run(stream, 'other');
    await eventually('the other one has done all', () => other.handled().at(-1) === ids.at(-1), 20_000);
    expect(other.handled()).toEqual(ids.slice(ids.indexOf(other.handled()[0] ?? '')));
    const committed = async () => (await inspect(stream)).shards?.[0]?.cursor ?? '';
    const page = (await (await ask(`/v1/streams/${stream}/events`, 'GET')).json()) as Page;
    const last = page.events.at(-1)?.cursor ?? '';
    await eventually('that is committed', async () => (await committed()) >= last);
    const before = await committed();

    slow.child.kill('SIGCONT');
    await eventually('the slow one knows', () => slow.output().includes('lost 0'), 20_000);
    await eventually('it has ended its page', () => slow.handled().length === slow.begun().length);
    const more = await post(stream, 5);
    await eventually('the other one goes on', () => other.handled().at(-1) === more.at(-1), 20_000);
    expect((await committed()) >= before).toBe(true);
    expect(slow.begun().filter((id) => more.includes(id))).toEqual([]);
    expect((await inspect(stream)).shards).toMatchObject([{ member: 'other' }]);
  });

  test('SIGTERM lets one finish its page, commit it, and give its shard to another at once', async () => {
    const stream = await makeStream();
    const ids = await post(stream, 10);
    const first = run(stream, 'first', { handleMs: 600, leaseMs: 60_000 });
    await eventually('it works', () => first.begun().length === 5, 20_000);
    first.child.kill('SIGTERM');
    expect(await first.ended).toBe('SIGTERM');
    expect(first.handled()).toEqual(ids.slice(0, 5));
    const second = run(stream, 'second', { leaseMs: 60_000 });
    await eventually('another goes on', () => second.handled().length === 5, 20_000);
    expect(second.handled()).toEqual(ids.slice(5));
  });

  test('G6 share the shards of a consumer, and keep the events of a key in order, while members come and go', async () => {
    const stream = await makeStream();
    const keys = Array.from({ length: 40 }, (_, index) => `k${index}`);
    const expected = new Map<string, string[]>(keys.map((key) => [key, []]));
    const seen = new Map<string, string[]>(keys.map((key) => [key, []]));
    const send = async (rounds: number) => {
      const events = Array.from({ length: rounds }, () => keys)
        .flat()
        .map((key) => ({ id: `e${(sent += 1)}`, stream, name: 'n', key }));
      for (const { id, key } of events) expected.get(key)?.push(id);
      expect((await ask('/v1/events', 'POST', { events })).status).toBe(200);
    };
    const shardsOf = new Map<string, Set<number>>();
    const member = (name: string) => {
      const stop = new AbortController();
      const options = {
        consumer: 'c',
        shards: 4,
        member: name,
        leaseMs: 1_000,
        pageEvents: 3,
        signal: stop.signal,
      };
      shardsOf.set(name, new Set());
      const over = createTestClient().consume(stream, options, async (page, { shard }) => {
        shardsOf.get(name)?.add(shard);
        await Promise.resolve();
        for (const { key, id } of page.events) seen.get(key ?? '')?.push(id);
      });
      return {
        async stop() {
          stop.abort();
          await over;
        },
      };
    };
    const holders = async () => ((await inspect(stream)).shards ?? []).map((shard) => shard.member);
    const all = (map: Map<string, string[]>) => [...map.values()].reduce((sum, ids) => sum + ids.length, 0);

    await send(5);
    const first = member('first');
    await eventually('one has all', async () => (await holders()).every((name) => name === 'first'));
    await eventually('the first are handled', () => all(seen) >= all(expected));
    const second = member('second');
    await eventually(
      'each has its share',
      async () => (await holders()).filter((name) => name === 'second').length === 2,
      20_000,
    );
    await send(5);
    await first.stop();
    await eventually(
      'the other has all',
      async () => (await holders()).every((name) => name === 'second'),
      20_000,
    );
    await send(5);
    await eventually('all are handled', () => all(seen) >= all(expected), 20_000);
    await second.stop();
    // Nobody died, so that nothing had to come again.
    expect(seen).toEqual(expected);
    expect(shardsOf.get('first')).toEqual(new Set([0, 1, 2, 3]));
    expect(shardsOf.get('second')).toEqual(new Set([0, 1, 2, 3]));
  });
});
