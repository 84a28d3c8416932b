import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectPlain, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Bundle, bundleCollector } from '../harness/bundle.ts';
import { createCertificate } from '../harness/certificate.ts';
import { type CollectorProcess, startCollectorProcess } from '../harness/collector-process.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { startProxy } from '../harness/proxy.ts';
import { descendantsOf, isRunning, killAll } from '../harness/processes.ts';
import {
  allEnded,
  createSender,
  metric,
  numbered,
  putStream,
  readIds,
  sendAll,
  type Sender,
  workersOf,
} from '../harness/worker-case.ts';

const connections = 8;
let bundle: Bundle;
let database: TestDatabase;
let folder: string;
let streams = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-workers-'));
  bundle = await bundleCollector();
  database = await createTestDatabase();
});

afterAll(async () => {
  await database?.drop();
  await bundle?.remove();
  await rm(folder, { recursive: true, force: true });
});

const newStream = (): string => {
  streams += 1;
  return `stream-${streams}`;
};

/** Runs until the test ends, or the test ends it. A bundle does not find the Postgres that comes along. */
async function start(
  environment: Record<string, string> = {},
  program: { readonly main?: string } = { main: bundle.main },
): Promise<CollectorProcess> {
  const collector = await startCollectorProcess({
    ...program,
    environment: { DATABASE_URL: database.url, TIDEMARK_WORKERS: '2', ...environment },
  });
  onTestFinished(async () => {
    if (await isRunning(collector.pid)) await collector.stop();
  });
  return collector;
}

function senderTo(collector: CollectorProcess, count = connections): Sender {
  const sender = createSender(collector, count);
  onTestFinished(() => sender.close());
  return sender;
}

/** Workers and primary, at once: as when the machine loses its power. */
const killCollector = async ({ pid }: CollectorProcess) => killAll([pid, ...(await descendantsOf(pid))]);

const sorted = (ids: readonly string[]) => ids.toSorted();
const idsOf = (events: readonly { readonly id: string }[]) => sorted(events.map(({ id }) => id));

const readsAll = (collector: CollectorProcess, stream: string, count: number) =>
  eventually(
    `${count} events can be read`,
    async () => (await readIds(collector, stream)).length >= count,
    20_000,
  );

describe('several workers on one port', () => {
  test('G2 G6 share the work: what comes to any of them is stored once, read once, and counted once', async () => {
    const collector = await start({ TIDEMARK_LOG_LEVEL: 'debug' });
    const stream = newStream();
    await putStream(collector, stream);
    const events = numbered(stream, 'e', 200);
    // Twice, so that most batches come to the other worker the second time.
    for (const prefix of [events, events.toReversed()])
      expect(sorted(await sendAll(senderTo(collector), prefix, connections))).toEqual(idsOf(events));
    await readsAll(collector, stream, events.length);
    expect(sorted(await readIds(collector, stream, 20))).toEqual(idsOf(events));
    for (let look = 0; look < 3; look += 1) {
      expect(await metric(collector, 'tidemark_events_accepted_total')).toBe(200);
      expect(await metric(collector, 'tidemark_events_duplicate_total')).toBe(200);
    }
    expect(await metric(collector, 'tidemark_workers')).toBe(2);
    const posts = collector
      .output()
      .split('\n')
      .filter((line) => line.includes('"path":"/v1/events"'));
    const took = posts.map((line) => Number(/"worker":(\d)/.exec(line)?.[1]));
    for (const worker of [1, 2]) expect(took.filter((one) => one === worker).length).toBeGreaterThan(10);
    const workers = await workersOf(collector.pid);
    expect(workers).toHaveLength(2);
    await collector.stop();
    await allEnded(workers);
  }, 60_000);

  test('G1 G2 one that is killed under load is replaced; nothing that was acknowledged is lost, nothing stored twice', async () => {
    const collector = await start();
    const stream = newStream();
    await putStream(collector, stream);
    const ending = new AbortController();
    const sending = sendAll(senderTo(collector), numbered(stream, 'e', 100_000), connections, ending.signal);
    for (let kills = 1; kills <= 2; kills += 1) {
      const counted = await metric(collector, 'tidemark_events_accepted_total');
      await eventually(
        'more events have come',
        async () => (await metric(collector, 'tidemark_events_accepted_total')) > counted,
      );
      const [victim = 0] = await workersOf(collector.pid);
      await killAll([victim]);
      const before = await metric(collector, 'tidemark_events_accepted_total');
      await eventually(
        'two take requests again',
        async () => (await metric(collector, 'tidemark_workers')) === 2,
      );
      await eventually(
        'it counts for itself',
        async () => (await metric(collector, 'tidemark_workers_ended_total')) === kills,
      );
      expect(await metric(collector, 'tidemark_events_accepted_total')).toBeGreaterThanOrEqual(before);
    }
    ending.abort();
    const acknowledged = await sending;
    await readsAll(collector, stream, acknowledged.length);
    const stored = await readIds(collector, stream);
    expect(new Set(stored).size).toBe(stored.length);
    expect(acknowledged.filter((id) => !stored.includes(id))).toEqual([]);
    // Of the last batches the answer was not waited for.
    expect(stored.length - acknowledged.length).toBeLessThanOrEqual(5 * connections);
    expect(collector.output()).toContain('"how":"SIGKILL"');
    await collector.stop();
  }, 60_000);

  test('G1 SIGTERM under load: all finish what they admitted, and the end is a good one, in time', async () => {
    const collector = await start();
    const stream = newStream();
    await putStream(collector, stream);
    const ending = new AbortController();
    const sending = sendAll(senderTo(collector), numbered(stream, 'e', 100_000), connections, ending.signal);
    await eventually(
      'events come',
      async () => (await metric(collector, 'tidemark_events_accepted_total')) > 100,
    );
    const workers = await workersOf(collector.pid);
    const sinceMs = performance.now();
    await collector.stop();
    expect(performance.now() - sinceMs).toBeLessThan(10_000);
    ending.abort();
    await allEnded(workers);
    const acknowledged = await sending;

    const next = await start();
    await readsAll(next, stream, acknowledged.length);
    const stored = await readIds(next, stream);
    expect(new Set(stored).size).toBe(stored.length);
    expect(acknowledged.filter((id) => !stored.includes(id))).toEqual([]);
  }, 60_000);

  test('a signal to one of them alone ends it well, and another takes its place', async () => {
    const collector = await start();
    const [first = 0] = await workersOf(collector.pid);
    process.kill(first, 'SIGTERM');
    await eventually('another one works', async () => {
      const now = await workersOf(collector.pid);
      return now.length === 2 && !now.includes(first);
    });
    expect(collector.output()).toContain('"how":"exit code 0"');
  }, 60_000);

  test('a signal to all of them at once, as systemd and terminals send it, ends them well', async () => {
    const collector = await start();
    const workers = await workersOf(collector.pid);
    for (const pid of workers) process.kill(pid, 'SIGTERM');
    await collector.stop();
    await allEnded(workers);
    expect(collector.output()).not.toContain('another one is started');
  }, 60_000);

  test('one that is halted delays neither the others nor the metrics, and does not outlive the end', async () => {
    const collector = await start();
    const stream = newStream();
    await putStream(collector, stream);
    const [halted = 0, other = 0] = await workersOf(collector.pid);
    process.kill(halted, 'SIGSTOP');
    onTestFinished(() => killAll([halted]));
    // One of these may be given to it, and is never answered.
    const sender = senderTo(collector);
    const events = Array.from({ length: connections }, (_, at) => numbered(stream, `${at}/`, 1));
    let answered = 0;
    for (const batch of events)
      void sender.post(batch).then(
        () => (answered += 1),
        () => undefined,
      );
    await eventually('the others are answered', () => answered >= connections - 1);
    const looked = metric(collector, 'tidemark_workers');
    expect(await looked).toBe(2);
    await expect(collector.stop()).rejects.toThrow('the collector ended with 1');
    await allEnded([halted, other]);
  }, 60_000);

  test('G1 end with a primary that is killed, and so does its Postgres; the next start has all that was acknowledged', async () => {
    const dataDir = join(folder, 'data');
    const environment = { DATABASE_URL: '', TIDEMARK_DATA_DIR: dataDir };
    const collector = await start(environment, {});
    const stream = newStream();
    await putStream(collector, stream);
    const events = numbered(stream, 'e', 50);
    await sendAll(senderTo(collector), events, connections);
    const below = await descendantsOf(collector.pid);
    expect(below.length).toBeGreaterThan(3);
    await killAll([collector.pid]);
    const next = await start({ ...environment, TIDEMARK_READ_KEY: collector.keys.read }, {});
    await allEnded(below);
    const { read } = collector.keys;
    const same = { ...next, keys: { ...next.keys, read } };
    await readsAll(same, stream, events.length);
    expect(sorted(await readIds(same, stream))).toEqual(idsOf(events));
  }, 60_000);

  test('a start that none of them survives ends with the reason, once', async () => {
    const collector = await start();
    const { port } = new URL(collector.url);
    const reason = await start({ PORT: port }).then(
      () => 'it started',
      (error: Error) => error.message,
    );
    expect(reason).toMatch(/^the collector ended at its start with 1:/);
    expect(reason.match(/Tidemark stopped: Port \d+ of 127.0.0.1 is taken/g)).toHaveLength(1);
  }, 60_000);

  test('G5 G12 a quota is for all of them together, and whole for a sender with one connection', async () => {
    const collector = await start();
    const stream = newStream();
    const perSecond = 20;
    const made = await fetch(`${collector.url}/v1/keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${collector.keys.admin}`, 'content-type': 'application/json' },
      body: JSON.stringify({ role: 'write', quotas: { eventsPerSecond: perSecond } }),
    });
    const { key } = (await made.json()) as { key: string };
    let at = 0;
    async function passedIn(seconds: number, count: number): Promise<number> {
      const sender = senderTo(collector, count);
      const untilMs = performance.now() + seconds * 1_000;
      let passed = 0;
      await Promise.all(
        Array.from({ length: count }, async () => {
          while (performance.now() < untilMs) {
            at += 1;
            const { status } = await sender.post(numbered(stream, `${at}/`, 1), key);
            expect([200, 429]).toContain(status);
            if (status === 200) passed += 1;
          }
        }),
      );
      return passed;
    }
    // A second's worth lies ready at the beginning; two buckets that know nothing of each other would pass 240.
    const many = await passedIn(5, connections);
    expect(many).toBeGreaterThanOrEqual(5 * perSecond * 0.8);
    expect(many).toBeLessThanOrEqual(8 * perSecond);
    // Half a quota would pass 50.
    expect(await passedIn(5, 1)).toBeGreaterThanOrEqual(5 * perSecond * 0.7);
  }, 60_000);

  test('G12 a revoked key stops working on all of them within five seconds', async () => {
    const collector = await start();
    const asAdmin = { authorization: `Bearer ${collector.keys.admin}`, 'content-type': 'application/json' };
    const made = await fetch(`${collector.url}/v1/keys`, {
      method: 'POST',
      headers: asAdmin,
      body: '{"role":"write"}',
    });
    const { id, key } = (await made.json()) as { id: string; key: string };
    const sender = senderTo(collector);
    const statuses = async () =>
      Promise.all(Array.from({ length: 2 * connections }, async () => (await sender.post([], key)).status));
    expect(new Set(await statuses())).toEqual(new Set([200]));
    const revoked = await fetch(`${collector.url}/v1/keys/${id}`, { method: 'DELETE', headers: asAdmin });
    expect(revoked.ok).toBe(true);
    await eventually(
      'no worker takes it',
      async () => (await statuses()).every((status) => status === 401),
      5_000,
    );
  }, 60_000);

  test('speak HTTP/2 over TLS', async () => {
    const certificate = createCertificate();
    const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    await writeFile(files.cert, certificate.cert);
    await writeFile(files.key, certificate.key);
    const collector = await start({ TIDEMARK_TLS_CERT: files.cert, TIDEMARK_TLS_KEY: files.key });
    const stream = newStream();
    for (const event of numbered(stream, 'e', 4)) {
      // A connection each.
      const session = connectHttp2(collector.url, { ca: certificate.cert });
      const request = session.request({
        ':method': 'POST',
        ':path': '/v1/events',
        authorization: `Bearer ${collector.keys.write}`,
        'content-type': 'application/json',
      });
      request.end(JSON.stringify({ events: [event] }));
      const [headers] = (await once(request, 'response')) as [Record<string, unknown>];
      expect([headers[':status'], JSON.parse(await text(request))]).toMatchObject([200, { accepted: 1 }]);
      session.destroy();
    }
  }, 60_000);

  test('G5 share the number of connections, and close what is too much instead of handing it on', async () => {
    const collector = await start({ TIDEMARK_LIMIT_CONNECTIONS: '6' });
    const { port } = new URL(collector.url);
    const open = new Set<Socket>();
    for (let at = 0; at < 12; at += 1) {
      const socket = connectPlain(Number(port), '127.0.0.1');
      open.add(socket);
      socket.on('error', () => undefined).on('close', () => open.delete(socket));
      onTestFinished(() => void socket.destroy());
    }
    await eventually('the others are closed', () => open.size <= 6);
    // One of them may have got fewer than its part: then the other closed more.
    expect(open.size).toBeGreaterThanOrEqual(3);
    for (const socket of open) socket.destroy();
    await eventually('there is room again', async () =>
      fetch(`${collector.url}/livez`).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  }, 60_000);
});

describe('workers with a spool', () => {
  const waitsNothing = async (collector: CollectorProcess) =>
    (await metric(collector, 'tidemark_spool_waiting_bytes')) === 0;
  const segmentsIn = async (path: string) =>
    (await readdir(path).catch(() => [])).filter((name) => name.endsWith('.spool')).length;

  // The address of a database that is away, and comes back when another collector is started with the true one.
  const away = 'postgres://nobody@127.0.0.1:1/none';

  test.each([
    { first: '3', next: '2', left: ['worker-3'] },
    { first: '2', next: '1', left: ['worker-1', 'worker-2'] },
    { first: '1', next: '2', left: ['.'] },
  ])(
    'G1 G2 each has its own; what $first left behind $next move to Postgres',
    async ({ first, next, left }) => {
      const stream = newStream();
      const spoolDir = join(folder, stream);
      await mkdir(spoolDir);
      const environment = { TIDEMARK_SPOOL_DIR: spoolDir };
      const collector = await start({ ...environment, TIDEMARK_WORKERS: first, DATABASE_URL: away });
      const events = numbered(stream, 'e', 100);
      const sender = senderTo(collector);
      expect((await sender.post(events.slice(0, 1))).reply).toMatchObject({ durability: 'spooled' });
      expect(await sendAll(sender, events, connections)).toHaveLength(100);
      await killCollector(collector);
      for (const name of left) expect(await segmentsIn(join(spoolDir, name))).toBeGreaterThan(0);

      const later = await start({ ...environment, TIDEMARK_WORKERS: next });
      await putStream(later, stream);
      await readsAll(later, stream, events.length);
      expect(sorted(await readIds(later, stream))).toEqual(idsOf(events));
      for (const name of left)
        await eventually(`${name} is empty`, async () => (await segmentsIn(join(spoolDir, name))) === 0);
      await eventually('nothing waits', () => waitsNothing(later));
      await later.stop();
    },
    60_000,
  );

  test('begin without Postgres, and use it when it comes: then it is migrated, and keys are made, once', async () => {
    const stream = newStream();
    const spoolDir = join(folder, stream);
    const empty = await createTestDatabase({ migrate: false });
    onTestFinished(() => empty.drop());
    const proxied = await startGate(empty.url);
    onTestFinished(() => proxied.close());
    const collector = await start({
      DATABASE_URL: proxied.url,
      TIDEMARK_SPOOL_DIR: spoolDir,
      TIDEMARK_READ_KEY: '',
    });
    const events = numbered(stream, 'e', 40);
    expect(await sendAll(senderTo(collector), events, connections)).toHaveLength(40);
    proxied.open();
    await eventually('a key is printed', () => /^ {11}read +tm_read_/m.test(collector.output()), 20_000);
    const [, read = ''] = /^ {11}read +(\S+)$/m.exec(collector.output()) ?? [];
    const reader = { ...collector, keys: { ...collector.keys, read } };
    await eventually('the spools are empty', () => waitsNothing(collector), 20_000);
    await readsAll(reader, stream, events.length);
    expect(sorted(await readIds(reader, stream))).toEqual(idsOf(events));
    expect(collector.output().match(/tm_read_/g)).toHaveLength(1);
    await collector.stop();
  }, 60_000);
});

/** A Postgres behind an address where nobody answers until it is opened. */
async function startGate(databaseUrl: string) {
  const target = new URL(databaseUrl);
  const proxy = await startProxy(() => ({ kind: 'fine' }));
  const url = new URL(databaseUrl);
  url.port = new URL(proxy.url).port;
  url.hostname = '127.0.0.1';
  return { url: url.href, open: () => proxy.aim(Number(target.port)), close: () => proxy.close() };
}
