import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BatchReply, formatTime } from '@tidemark/core/wire';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { migrate } from '../../collector/src/store/migrate.ts';
import { type Bundle, bundleCollector } from '../harness/bundle.ts';
import { eventually } from '../harness/eventually.ts';
import { fullSpools } from '../harness/full-spool.ts';
import { type PrivatePostgres, startPrivatePostgres } from '../harness/private-postgres.ts';
import { haltAll } from '../harness/processes.ts';
import { type Collector, createCollector, keys } from '../torture/collectors.ts';

let bundle: Bundle;
let postgres: PrivatePostgres;
let sql: Sql;
let folder: string;
let spoolDir: string;
let stream: string;
let streams = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-spool-'));
  bundle = await bundleCollector();
  postgres = await startPrivatePostgres();
  await migrate(postgres.url);
  sql = connect(postgres.url, 'test', 2, {});
}, 60_000);

afterAll(async () => {
  await sql?.end({ timeout: 1 });
  await postgres?.stop();
  await bundle?.remove();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  streams += 1;
  stream = `stream-${streams}`;
  spoolDir = join(folder, stream);
  await mkdir(spoolDir);
});

/** Runs until the test ends, or the test ends it. */
async function makeCollector(
  environment: Record<string, string> = {},
  through: readonly string[] = [],
): Promise<Collector> {
  const ended: string[] = [];
  const collector = await createCollector({
    name: 'collector',
    main: bundle.main,
    databaseUrl: postgres.url,
    environment: { TIDEMARK_SPOOL_DIR: spoolDir, TIDEMARK_LIMIT_SPOOL_AFTER_MS: '300', ...environment },
    through,
    weather: () => ({ kind: 'fine' }),
    onRunning: () => undefined,
    onEnded: (what) => ended.push(what),
  });
  onTestFinished(async () => {
    await collector.close();
    expect(ended).toEqual([]);
  });
  await collector.start();
  return collector;
}

function post({ url }: Collector, events: readonly object[], key: string = keys.write): Promise<Response> {
  return fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ events: events.map((event) => ({ stream, name: 'fault', ...event })) }),
    signal: AbortSignal.timeout(20_000),
  });
}

async function accept(collector: Collector, events: readonly object[]): Promise<BatchReply> {
  const response = await post(collector, events);
  const text = await response.text();
  expect([response.status, text]).toEqual([200, expect.any(String)]);
  return JSON.parse(text) as BatchReply;
}

const numbered = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, at) => ({ id: `${prefix}${at}`, props: { at } }));

async function storedIds(): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from tidemark.events join tidemark.streams using (stream_id) where streams.name = ${stream} order by seq`;
  return rows.map(({ id }) => id);
}

const isStored = (count: number) =>
  eventually(
    `${count} events are stored`,
    async () => (await storedIds().catch(() => [])).length >= count,
    20_000,
  );

async function put({ url }: Collector, settings: object): Promise<void> {
  const response = await fetch(`${url}/v1/streams/${stream}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${keys.admin}`, 'content-type': 'application/json' },
    body: JSON.stringify(settings),
  });
  expect(response.status).toBe(200);
}

async function makeKey({ url }: Collector): Promise<{ id: string; key: string }> {
  const response = await fetch(`${url}/v1/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${keys.admin}`, 'content-type': 'application/json' },
    body: JSON.stringify({ role: 'write' }),
  });
  return (await response.json()) as { id: string; key: string };
}

async function metric({ url }: Collector, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

const waitsNothing = async (collector: Collector) =>
  (await metric(collector, 'tidemark_spool_waiting_bytes')) === 0;

const readiness = async ({ url }: Collector) => (await fetch(`${url}/readyz`)).status;

describe('a collector with a spool', () => {
  test('G1 G2 G9 acknowledges while Postgres is down, is killed, starts without Postgres, and has everything stored once when it is back', async () => {
    const collector = await makeCollector();
    expect(await accept(collector, numbered('before', 2))).toMatchObject({ durability: 'committed' });
    await put(collector, { watermarkDelayMs: 0, clientIp: 'whole' });
    const kept = () => readFile(join(spoolDir, 'kept.json'), 'utf8').catch(() => '');
    await eventually('the setting is kept', async () => (await kept()).includes('"whole"'));
    await postgres.kill();
    const first = await accept(collector, [{ id: 'twice', props: { copy: 1 } }, ...numbered('a', 3)]);
    expect(first).toMatchObject({ durability: 'spooled', accepted: 4, duplicates: 0, results: [] });
    expect(await readiness(collector)).toBe(200);
    await collector.kill();

    await collector.start();
    const second = await accept(collector, [{ id: 'twice', props: { copy: 2 } }, ...numbered('b', 3), {}]);
    expect(second).toMatchObject({
      durability: 'spooled',
      accepted: 5,
      results: [{ index: 4, status: 'accepted', code: 'id_generated' }],
    });
    const made = second.results[0]?.id ?? '';
    expect(await readiness(collector)).toBe(200);

    await postgres.restart();
    const all = [
      ...numbered('before', 2),
      { id: 'twice' },
      ...numbered('a', 3),
      ...numbered('b', 3),
      { id: made },
    ];
    await isStored(all.length);
    expect((await storedIds()).toSorted()).toEqual(all.map(({ id }) => id).toSorted());
    const [stored] = await sql<{ props: unknown; received: bigint; late: boolean }[]>`
      select props, received_at as received, event_time < order_time as late
      from tidemark.events join tidemark.streams using (stream_id) where streams.name = ${stream} and id = 'twice'`;
    // The first copy, received when it was, and late for as long as it lay here.
    expect(stored).toMatchObject({ props: { copy: 1 }, late: true });
    expect(formatTime(stored?.received ?? 0n)).toBe(first.receivedAt);
    const [later] = await sql<{ ip: string | null }[]>`
      select host(ip) as ip from tidemark.events join tidemark.streams using (stream_id)
      where streams.name = ${stream} and id = 'b0'`;
    expect(later?.ip).toBe('127.0.0.1');
    await eventually('events go to Postgres directly', async () => {
      const reply = await accept(collector, [{}]);
      return reply.durability === 'committed';
    });
    await eventually(
      'the spool is empty',
      async () => !(await readdir(spoolDir)).some((name) => name.endsWith('.spool')),
    );
  }, 60_000);

  test('what was erased, or is no longer allowed, while it lay in the spool of a dead collector is erased, or rejected, when it comes', async () => {
    const collector = await makeCollector();
    await accept(collector, [{ id: 'before', key: 'person', props: { secret: 1 } }]);
    await postgres.kill();
    const spooled = await accept(collector, [
      { id: 'erased', key: 'person', props: { secret: 2 } },
      { id: 'kept', key: 'other', props: { at: 3 } },
      { id: 'odd', name: 'strict', key: 'other', props: { at: 4 } },
    ]);
    expect(spooled).toMatchObject({ durability: 'spooled', accepted: 3 });
    await collector.kill();
    await postgres.restart();

    // Another one, which knows nothing of that spool.
    const { url } = await makeCollector({ TIDEMARK_SPOOL_DIR: '' });
    const asAdmin = async (method: string, path: string, body?: object): Promise<unknown> => {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { authorization: `Bearer ${keys.admin}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      expect([path, response.status]).toEqual([path, 200]);
      return response.json();
    };
    const schema = { mode: 'enforce', schema: { required: ['total'] } };
    await asAdmin('PUT', `/v1/streams/${stream}/schemas/strict`, schema);
    await eventually('the key is erased', async () => {
      const answer = await asAdmin('POST', `/v1/streams/${stream}/erase`, { key: 'person' });
      return (answer as { done: boolean }).done;
    });

    await collector.start();
    await isStored(3);
    await eventually('the spool is empty', () => waitsNothing(collector));
    const rows = await sql<{ id: string; erased: boolean; props: unknown }[]>`
      select id, erased, props from tidemark.events join tidemark.streams using (stream_id)
      where streams.name = ${stream} order by id`;
    expect(rows.map(({ id, erased, props }) => [id, erased, props])).toEqual([
      ['before', true, null],
      ['erased', true, null],
      ['kept', false, { at: 3 }],
    ]);
    // It was acknowledged: so its dead letter is on disk before the spool forgets it.
    const letters = await asAdmin('GET', `/v1/dead-letters?stream=${stream}`);
    expect(letters).toMatchObject({
      deadLetters: [
        { eventId: 'odd', code: 'schema_mismatch', keyId: 'spool', receivedAt: spooled.receivedAt },
      ],
    });
  }, 60_000);

  test('G12 knows the keys it has seen while Postgres is away, none that was revoked, and says of others that it cannot tell', async () => {
    const collector = await makeCollector();
    const make = () => makeKey(collector);
    const [good, revoked] = [await make(), await make()];
    const listed = async () =>
      (await readFile(join(spoolDir, 'kept.json'), 'utf8').catch(() => '')).match(/"keyId"/g)?.length;
    await eventually('both are kept', async () => (await listed()) === 2);
    await fetch(`${collector.url}/v1/keys/${revoked.id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${keys.admin}` },
    });
    await eventually('the revoked one is not kept', async () => (await listed()) === 1);
    await postgres.kill();
    expect(await readFile(join(spoolDir, 'kept.json'), 'utf8')).not.toContain(good.key);
    expect((await post(collector, [{ id: 'first' }], good.key)).status).toBe(200);
    await collector.kill();
    await collector.start();
    expect((await post(collector, [{ id: 'second' }], good.key)).status).toBe(200);
    for (const key of [revoked.key, 'a-key-that-nobody-has-ever-seen']) {
      const refused = await post(collector, [{ id: 'refused' }], key);
      expect([refused.status, await refused.json()]).toMatchObject([503, { code: 'store_unavailable' }]);
    }
    await postgres.restart();
    await isStored(2);
    await eventually(
      'nobody knows it',
      async () => (await post(collector, [{}], revoked.key)).status === 401,
    );
    expect(await storedIds()).toEqual(['first', 'second']);
  }, 60_000);

  test('G1 G2 acknowledges while Postgres does not answer, ends at once, and what was on its way to both is stored once', async () => {
    const collector = await makeCollector();
    await accept(collector, [{ id: 'warm' }]);
    const goOn = await haltAll(postgres.pid);
    try {
      const replies = await Promise.all(
        Array.from({ length: 20 }, (_, at) => accept(collector, numbered(`${at}/`, 5))),
      );
      for (const { durability } of replies) expect(durability).toBe('spooled');
      expect(await readiness(collector)).toBe(200);
      const sinceMs = performance.now();
      expect(await collector.end()).toBe(0);
      expect(performance.now() - sinceMs).toBeLessThan(10_000);
    } finally {
      goOn();
    }
    await collector.start();
    await isStored(101);
    await eventually('the spool is empty', () => waitsNothing(collector));
    const ids = await storedIds();
    expect([ids.length, new Set(ids).size]).toEqual([101, 101]);
  }, 60_000);

  test('G2 a slow append and its spooled copy are one event, and others do not wait for it', async () => {
    const collector = await makeCollector();
    await accept(collector, [{ id: 'before' }]);
    const locked = connect(postgres.url, 'locker', 1, {
      statement_timeout: 0,
      idle_in_transaction_session_timeout: 0,
    });
    await locked.begin(async (transaction) => {
      await transaction`lock table tidemark.claims in access exclusive mode`;
      expect(await accept(collector, numbered('slow', 3))).toMatchObject({
        durability: 'spooled',
        accepted: 3,
      });
      expect(await accept(collector, numbered('quick', 3))).toMatchObject({ durability: 'spooled' });
    });
    await locked.end();
    await isStored(7);
    await eventually('the spool is empty', () => waitsNothing(collector));
    expect((await storedIds()).toSorted()).toEqual(
      [
        'before',
        ...numbered('slow', 3).map(({ id }) => id),
        ...numbered('quick', 3).map(({ id }) => id),
      ].toSorted(),
    );
    expect(await metric(collector, 'tidemark_events_spooled_total')).toBe(6);
  }, 60_000);

  test.each(fullSpools)(
    'G1 G3 G5 answers 429 when %s is reached, keeps what it acknowledged, and nothing else',
    async (what, make) => {
      const { environment, through, unmake, toTheBrim } = make(spoolDir);
      onTestFinished(unmake);
      const collector = await makeCollector(environment, through);
      await accept(collector, [{ id: 'before' }]);
      await postgres.kill();
      const acknowledged = ['before'];
      const text = 'x'.repeat(1_000);
      let refusal: Response | undefined;
      for (let at = 0; refusal === undefined && at < 1_000; at += 1) {
        const events = Array.from({ length: 20 }, (_, of) => ({ id: `${at}/${of}`, props: { text } }));
        const response = await post(collector, events);
        if (response.status === 200) acknowledged.push(...events.map(({ id }) => id));
        else refusal = response;
      }
      expect([refusal?.status, refusal?.headers.get('tidemark-pressure')]).toEqual([429, '1.00']);
      expect(Number(refusal?.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(await refusal?.json()).toMatchObject({ code: 'overloaded', retryAfterMs: expect.any(Number) });
      expect(acknowledged.length).toBeGreaterThan(40);
      // A disk may have room at any moment again; the spool itself only when Postgres is back.
      if (what === 'its own limit')
        await eventually('it is not ready', async () => (await readiness(collector)) === 503);
      await collector.kill();
      toTheBrim();
      await collector.start();
      await postgres.restart();
      await isStored(acknowledged.length);
      await eventually('the spool is empty', () => waitsNothing(collector));
      expect((await storedIds()).toSorted()).toEqual(acknowledged.toSorted());
      await eventually('it is ready', async () => (await readiness(collector)) === 200);
      await eventually(
        'there is room again',
        async () => (await post(collector, [{ id: 'after' }])).status === 200,
      );
    },
    60_000,
  );

  test('has its folder to itself', async () => {
    await makeCollector();
    await expect(makeCollector()).rejects.toThrow(
      /TIDEMARK_SPOOL_DIR .* is in use by another collector, process \d+/,
    );
  }, 60_000);

  test('G1 G2 keeps what is for a stream that somebody holds, while others go to Postgres', async () => {
    const collector = await makeCollector({ TIDEMARK_LIMIT_SPOOL_AFTER_MS: '1000' });
    const other = `${stream}-other`;
    await accept(collector, [...numbered('before', 1), { id: 'first', stream: other }]);
    await sql.begin(async (transaction) => {
      await transaction`select pg_advisory_xact_lock(1953064291, stream_id) from tidemark.streams where name = ${stream}`;
      for (let round = 0; round < 5; round++) {
        const [held, free] = await Promise.all([
          accept(collector, [{ id: `held ${round}` }]),
          accept(collector, [{ id: `free ${round}`, stream: other }]),
        ]);
        expect([held.durability, free.durability]).toEqual(['spooled', 'committed']);
      }
    });
    await isStored(6);
    await eventually('nothing waits', () => waitsNothing(collector));
    expect((await storedIds()).toSorted()).toEqual([
      'before0',
      ...Array.from({ length: 5 }, (_, round) => `held ${round}`),
    ]);
  });
});
