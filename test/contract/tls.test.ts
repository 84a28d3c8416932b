import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type ClientHttp2Session } from 'node:http2';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Hono } from 'hono';
import { Agent, fetch } from 'undici';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createClock } from '../../collector/src/clock.ts';
import { readCertificate } from '../../collector/src/http/certificate.ts';
import { connectionLimits, listen } from '../../collector/src/http/serve.ts';
import { createCertificate } from '../harness/certificate.ts';
import { startCollectorProcess } from '../harness/collector-process.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { serveCollector, type ServedCollector, testKeys } from '../harness/served-collector.ts';

const certificate = createCertificate();
let database: TestDatabase;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url, { certificate });
  await collector.app.request('/v1/streams/safe', {
    method: 'PUT',
    headers: { authorization: `Bearer ${testKeys.admin}` },
    body: '{"watermarkDelayMs":0}',
  });
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

function openSession(url = collector.url): ClientHttp2Session {
  const session = connect(url, { ca: certificate.cert });
  onTestFinished(() => session.destroy());
  return session;
}

/** One request over HTTP/2. */
async function ask(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  body?: string,
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  const stream = session.request(headers);
  stream.end(body);
  const [received] = (await once(stream, 'response')) as [Record<string, unknown>];
  return { status: Number(received[':status']), headers: received, body: await text(stream) };
}

const send = (session: ClientHttp2Session, id: string) =>
  ask(
    session,
    {
      ':method': 'POST',
      ':path': '/v1/events',
      authorization: `Bearer ${testKeys.write}`,
      'content-type': 'application/json',
    },
    JSON.stringify({ events: [{ id, stream: 'safe', name: 'seen' }] }),
  );

describe('with a certificate', () => {
  test('events are sent and read over HTTP/2, many requests at once on a connection', async () => {
    const session = openSession();
    const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => send(session, `h2-${i}`)));
    expect(session.alpnProtocol).toBe('h2');
    for (const { status, headers, body } of replies) {
      expect([status, JSON.parse(body)]).toEqual([200, expect.objectContaining({ accepted: 1 })]);
      expect(headers['tidemark-pressure']).toMatch(/^0\.\d\d$/);
    }
    const page = await ask(session, {
      ':path': '/v1/streams/safe/events?wait=20&from=earliest',
      authorization: `Bearer ${testKeys.read}`,
    });
    expect((JSON.parse(page.body) as { events: unknown[] }).events.length).toBeGreaterThan(0);
    expect((await ask(session, { ':path': '/v1/streams' })).status).toBe(401);
    expect((await ask(session, { ':path': '/metrics' })).status).toBe(200);
  });

  test('clients that only speak HTTP/1.1 are served as well', async () => {
    const agent = new Agent({ connect: { ca: certificate.cert, ALPNProtocols: ['http/1.1'] } });
    onTestFinished(() => agent.close());
    const response = await fetch(`${collector.url}/v1/time`, { dispatcher: agent });
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
  });

  test('a body that is too large is refused over HTTP/2 too, and the connection goes on', async () => {
    const session = openSession();
    const headers = {
      ':method': 'POST',
      ':path': '/v1/events',
      authorization: `Bearer ${testKeys.write}`,
      'content-type': 'application/json',
    };
    const large = await ask(session, headers, JSON.stringify({ events: [], filler: 'x'.repeat(3_000_000) }));
    expect(large.status).toBe(413);
    expect((await send(session, 'after-large')).status).toBe(200);
  });

  test('a refusal reaches a client that is still sending, and the session stays good for others', async () => {
    const session = openSession();
    const stream = session.request({
      ':method': 'POST',
      ':path': '/v1/events',
      authorization: `Bearer ${testKeys.write}`,
      'content-type': 'application/json',
      'content-length': String(2_000_000),
    });
    stream.on('error', () => {});
    stream.write('{"events":[');
    const [received] = (await once(stream, 'response')) as [Record<string, unknown>];
    expect(received[':status']).toBe(413);
    expect(JSON.parse(await text(stream))).toMatchObject({ code: 'body_too_large', actual: 2_000_000 });
    expect((await send(session, 'after-refusal')).status).toBe(200);
  });

  test('a client without encryption is turned away, and others do not notice', async () => {
    const { port } = new URL(collector.url);
    const socket = connectPlain(Number(port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'close');
    expect((await ask(openSession(), { ':path': '/livez' })).status).toBe(200);
  });

  test('G5 connections on which nothing happens are closed, and so are streams', async () => {
    const other = await serveCollector(database.url, {
      certificate,
      limits: { silentMs: 300, keepAliveMs: 600, lookMs: 50, headersMs: 300, requestMs: 300 },
    });
    onTestFinished(other.stop);
    const session = openSession(other.url);
    session.on('error', () => {});
    const stalled = session.request({
      ':method': 'POST',
      ':path': '/v1/events',
      authorization: `Bearer ${testKeys.write}`,
      'content-type': 'application/json',
    });
    stalled.on('error', () => {});
    stalled.write('{"events":');
    await once(stalled, 'close');
    await once(session, 'close');
  });
});

test('a listener that closes lets a reply end and ends connections that are idle', async () => {
  let answer = (): void => {};
  const asked = new Promise<void>((resolve) => {
    answer = resolve;
  });
  let reply: (response: Response) => void = () => undefined;
  const app = new Hono().get('/slow', () => {
    answer();
    return new Promise<Response>((resolve) => {
      reply = resolve;
    });
  });
  const address = { host: '127.0.0.1', port: 0, certificate };
  const listener = await listen(app, address, createClock(), connectionLimits);
  const url = `https://127.0.0.1:${listener.port}`;
  const idle = openSession(url);
  await once(idle, 'connect');
  const busy = openSession(url);
  const slow = ask(busy, { ':path': '/slow' });
  await asked;
  const closed = listener.close(20_000);
  await once(idle, 'close');
  reply(new Response('done'));
  expect(await slow).toMatchObject({ status: 200, body: 'done' });
  await closed;
});

describe('the files of a certificate', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-tls-'));
    await writeFile(join(folder, 'cert.pem'), certificate.cert);
    await writeFile(join(folder, 'key.pem'), certificate.key);
    await writeFile(join(folder, 'other.pem'), createCertificate().key);
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('make a collector serve HTTPS', async () => {
    const process = await startCollectorProcess({
      environment: {
        DATABASE_URL: database.url,
        TIDEMARK_TLS_CERT: join(folder, 'cert.pem'),
        TIDEMARK_TLS_KEY: join(folder, 'key.pem'),
      },
    });
    onTestFinished(() => process.stop());
    expect(process.url).toMatch(/^https:/);
    expect((await ask(openSession(process.url), { ':path': '/readyz' })).status).toBe(200);
  });

  test.each([
    ['none.pem', 'key.pem', /TIDEMARK_TLS_CERT cannot be read .*ENOENT/],
    ['cert.pem', 'none.pem', /TIDEMARK_TLS_KEY cannot be read .*ENOENT/],
    ['cert.pem', 'other.pem', /must be PEM files that belong together/],
    ['key.pem', 'key.pem', /must be PEM files that belong together/],
  ])('that cannot be used are named: %s with %s', async (cert, key, message) => {
    await expect(readCertificate({ cert: join(folder, cert), key: join(folder, key) })).rejects.toThrow(
      message,
    );
  });
});
