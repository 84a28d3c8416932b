import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createClock } from '../../collector/src/clock.ts';
import { connectionLimits, listen } from '../../collector/src/http/serve.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { serveCollector, type ServedCollector, testKeys } from '../harness/served-collector.ts';

let database: TestDatabase;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url);
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

const auth = `Authorization: Bearer ${testKeys.write}\r\n`;

function open(url = collector.url): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** Sends bytes as they are, and gives all that comes back until the other side closes. */
async function exchange(bytes: string): Promise<string> {
  const socket = open();
  let received = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    received += chunk;
  });
  socket.write(bytes, 'latin1');
  await once(socket, 'close');
  return received;
}

const statuses = (received: string): number[] =>
  [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/** A whole request that stores an event, to be hidden in what another says is its body. */
function storing(id: string, more = ''): string {
  const body = `{"events":[{"id":"${id}","stream":"smuggled","name":"a"}]}`;
  return `POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth}${more}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

async function storedIds(): Promise<readonly string[]> {
  const rows = await collector.database.control<{ id: string }[]>`
    select e.id from tidemark.events e join tidemark.streams s using (stream_id) where s.name = 'smuggled'`;
  return rows.map(({ id }) => id);
}

describe('G3 a request that two servers could take for two', () => {
  const head = `POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth}Content-Type: application/json\r\n`;
  const empty = '{"events":[]}';
  const chunk = `d\r\n${empty}\r\n`;

  const cases: readonly (readonly [string, string])[] = [
    [
      'a length and chunks',
      `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`,
    ],
    [
      'chunks and a length',
      `${head}Transfer-Encoding: chunked\r\nContent-Length: 400\r\n\r\n${chunk}0\r\n\r\n`,
    ],
    ['two lengths', `${head}Content-Length: 13\r\nContent-Length: 14\r\n\r\n${empty}`],
    ['a list of lengths', `${head}Content-Length: 13, 14\r\n\r\n${empty}`],
    ['a signed length', `${head}Content-Length: +13\r\n\r\n${empty}`],
    ['a length in hexadecimal', `${head}Content-Length: 0xd\r\n\r\n${empty}`],
    ['a length with a space in it', `${head}Content-Length: 1 3\r\n\r\n${empty}`],
    ['an encoding that is not chunked', `${head}Transfer-Encoding: xchunked\r\n\r\n${chunk}0\r\n\r\n`],
    [
      'an encoding that ends otherwise',
      `${head}Transfer-Encoding: chunked, identity\r\n\r\n${chunk}0\r\n\r\n`,
    ],
    ['a space before a colon', `${head}Transfer-Encoding : chunked\r\n\r\n${chunk}0\r\n\r\n`],
    ['a folded header', `${head}Transfer-Encoding:\r\n chunked\r\nContent-Length: 13\r\n\r\n${empty}`],
    ['a size of no digits', `${head}Transfer-Encoding: chunked\r\n\r\n\r\n${empty}\r\n0\r\n\r\n`],
    ['a size that is no number', `${head}Transfer-Encoding: chunked\r\n\r\nxyz\r\n${empty}\r\n0\r\n\r\n`],
    ['a negative size', `${head}Transfer-Encoding: chunked\r\n\r\n-d\r\n${empty}\r\n0\r\n\r\n`],
    [
      'a size that overflows',
      `${head}Transfer-Encoding: chunked\r\n\r\n1000000000000000d\r\n${empty}\r\n0\r\n\r\n`,
    ],
    ['a size with a prefix', `${head}Transfer-Encoding: chunked\r\n\r\n0xd\r\n${empty}\r\n0\r\n\r\n`],
    ['a chunk longer than its size', `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n${empty}\r\n0\r\n\r\n`],
    ['a chunk that ends with a bare LF', `${head}Transfer-Encoding: chunked\r\n\r\nd\r\n${empty}\n0\r\n\r\n`],
    ['a size that ends with a bare LF', `${head}Transfer-Encoding: chunked\r\n\r\nd\n${empty}\r\n0\r\n\r\n`],
    ['an extension with a bare LF', `${head}Transfer-Encoding: chunked\r\n\r\nd;a=\n${empty}\r\n0\r\n\r\n`],
    ['headers that end with bare LFs', `${head.replaceAll('\r\n', '\n')}Content-Length: 13\n\n${empty}`],
    ['a header that ends with a bare LF', `${head}X-A: b\nContent-Length: 13\r\n\r\n${empty}`],
    ['a bare CR in a header', `${head}X-A: b\rContent-Length: 400\r\nContent-Length: 13\r\n\r\n${empty}`],
    ['a NUL in a header', `${head}X-A: b\0\r\nContent-Length: 13\r\n\r\n${empty}`],
  ];

  test.each(cases)('is refused, and nothing behind it is looked at: %s', async (title, first) => {
    const id = title.replaceAll(' ', '-');
    const received = await exchange(first + storing(id));
    expect(statuses(received)).toEqual([400]);
    expect(received.toLowerCase()).toContain('connection: close');
    expect(await storedIds()).not.toContain(id);
  });

  test('is not one that is sound: two of those on a connection have two answers, in order', async () => {
    const received = await exchange(
      storing('first') + storing('second').replace('Host: x', 'Host: x\r\nConnection: close'),
    );
    expect(statuses(received)).toEqual([200, 200]);
    expect((await storedIds()).toSorted()).toEqual(['first', 'second']);
  });
});

describe('headers', () => {
  test.each([
    ['one that is too long', `GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(17_000)}\r\n\r\n`],
    [
      'many that are too long together',
      `GET /livez HTTP/1.1\r\nHost: x\r\n${'X-A: bcdefgh\r\n'.repeat(2_000)}\r\n`,
    ],
    ['a target that is too long', `GET /livez?${'x'.repeat(17_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    [
      'a key that is too long',
      `GET /v1/streams HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${'x'.repeat(17_000)}\r\n\r\n`,
    ],
  ])('G5 are bounded: %s', async (_, bytes) => {
    expect(statuses(await exchange(bytes))).toEqual([431]);
  });

  test('that name another method, address or path change nothing', async () => {
    const response = await fetch(`${collector.url}/v1/streams/orders`, {
      headers: {
        'x-http-method-override': 'DELETE',
        'x-original-url': '/livez',
        'x-rewrite-url': '/livez',
        'x-forwarded-host': 'localhost',
      },
    });
    expect(response.status).toBe(401);
  });

  test.each(['', 'Host: a b\r\n', 'Host: x/../y\r\n', 'Host: [::1\r\n'])(
    'a host that cannot be is refused: %j',
    async (host) => {
      const received = await exchange(`GET /v1/time HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
      expect(statuses(received)[0]).toBe(400);
    },
  );
});

describe('G5 a slow client', () => {
  const limits = { headersMs: 400, requestMs: 800, silentMs: 800, keepAliveMs: 800, lookMs: 50 };

  /** Sends a byte every few milliseconds until the other side has had enough; gives what it said. */
  async function drip(url: string, start: string, byte: string): Promise<string> {
    const socket = open(url);
    let received = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      received += chunk;
    });
    const ended = once(socket, 'close');
    socket.write(start);
    while (!socket.destroyed && !socket.readableEnded) {
      socket.write(byte);
      await sleep(20);
    }
    await ended;
    return received;
  }

  test('of headers is cut off, while others are served', async () => {
    const other = await serveCollector(database.url, { limits });
    onTestFinished(other.stop);
    const slow = Promise.all(
      Array.from({ length: 50 }, () => drip(other.url, 'GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ', 'a')),
    );
    expect((await fetch(`${other.url}/livez`)).status).toBe(200);
    for (const received of await slow) expect(statuses(received)).toEqual([408]);
  });

  test('of a body is cut off, and its place is free again', async () => {
    const other = await serveCollector(database.url, {
      limits,
      environment: { TIDEMARK_LIMIT_INFLIGHT_REQUESTS: '4' },
    });
    onTestFinished(other.stop);
    const head = `POST /v1/events HTTP/1.1\r\nHost: x\r\n${auth}Content-Type: application/json\r\n`;
    const status = async () => {
      const response = await fetch(`${other.url}/v1/events`, {
        method: 'POST',
        headers: { authorization: `Bearer ${testKeys.write}`, 'content-type': 'application/json' },
        body: '{"events":[]}',
      });
      await response.body?.cancel();
      return response.status;
    };
    const slow = [
      ...Array.from({ length: 2 }, () => drip(other.url, `${head}Content-Length: 100000\r\n\r\n`, ' ')),
      ...Array.from({ length: 2 }, () =>
        drip(other.url, `${head}Transfer-Encoding: chunked\r\n\r\n`, '1\r\n \r\n'),
      ),
    ];
    await eventually('they hold all the places', async () => (await status()) === 429);
    await Promise.all(slow);
    await eventually('the places are free', async () => (await status()) === 200);
  });

  test('that says nothing at all is cut off', async () => {
    const other = await serveCollector(database.url, { limits });
    onTestFinished(other.stop);
    const silent = open(other.url);
    await once(silent.resume(), 'close');
    const kept = open(other.url);
    kept.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(kept.resume(), 'close');
  });

  test('that does not read its reply is cut off', async () => {
    let taken: Socket | undefined;
    const app = new Hono<{ Bindings: { incoming: { socket: Socket } } }>().get('/large', (context) => {
      taken = context.env.incoming.socket;
      return new Response(new Uint8Array(64 * 1_048_576));
    });
    const address = { host: '127.0.0.1', port: 0 };
    const listener = await listen(app as unknown as Hono, address, createClock(), {
      ...connectionLimits,
      ...limits,
    });
    onTestFinished(() => listener.close(0));
    const reader = open(`http://127.0.0.1:${listener.port}`);
    reader.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n');
    reader.pause();
    await eventually('it is answered', () => taken !== undefined);
    await eventually('it is cut off', () => taken?.destroyed === true);
  });

  test('is one of a bounded number', async () => {
    const other = await serveCollector(database.url, { limits: { connectionsMax: 5 } });
    onTestFinished(other.stop);
    const held = Array.from({ length: 5 }, () => open(other.url));
    await Promise.all(held.map((socket) => once(socket, 'connect')));
    for (const socket of held) socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    await Promise.all(held.map((socket) => once(socket, 'data')));
    await once(open(other.url).resume(), 'close');
    for (const socket of held) socket.destroy();
    await eventually('there is room again', () =>
      fetch(`${other.url}/livez`).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  });
});

describe('names and values that would be code elsewhere', () => {
  const hostile = [
    "'; drop table tidemark.keys; --",
    "' or '1'='1",
    '" or ""="',
    '$1',
    '${7*7}',
    '\\',
    '%',
    '../../etc/passwd',
    '__proto__',
    'constructor',
    '<script>alert(1)</script>',
    '\r\nSet-Cookie: a=b',
  ];
  const admin = { authorization: `Bearer ${testKeys.admin}`, 'content-type': 'application/json' };
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(collector.url + path, { headers: admin, ...init });

  test.each([...hostile, '\0'])('are only text in paths and queries: %j', async (text) => {
    const value = encodeURIComponent(text);
    await ask('/v1/streams/orders', { method: 'PUT' });
    const paths = [
      `/v1/streams/${value}`,
      `/v1/streams/${value}/events`,
      `/v1/streams/${value}/consumers`,
      `/v1/streams/${value}/consumers/${value}`,
      `/v1/streams?cursor=${value}`,
      `/v1/streams/orders/events?cursor=${value}`,
      `/v1/streams/orders/events?from=${value}`,
      `/v1/keys?cursor=${value}`,
      `/v1/streams/orders/schemas?cursor=${value}`,
      `/v1/streams/orders/schemas/${value}`,
      `/v1/dead-letters?stream=${value}`,
      `/v1/dead-letters?keyId=${value}`,
      `/${value}`,
    ];
    for (const path of paths) {
      const response = await ask(path);
      // The names of some are good names, of streams that are not there.
      expect([path, response.status >= 200 && response.status < 500]).toEqual([path, true]);
      expect(response.headers.get('set-cookie')).toBeNull();
      if (response.status === 200 && !path.startsWith('/v1/streams?')) {
        const all = Object.values((await response.json()) as object).flat();
        expect([path, all.filter((one) => one !== null)]).toEqual([path, []]);
      }
    }
    const revoked = await ask(`/v1/keys/${value}`, { method: 'DELETE' });
    expect(revoked.status).toBe(404);
    const [{ tables }] = await collector.database.control<[{ tables: bigint }]>`
      select count(*) as tables from pg_tables where schemaname = 'tidemark' and tablename in ('keys', 'streams')`;
    expect(tables).toBe(2n);
  });

  test('come back as they were sent, as ids, names, keys and props', async () => {
    await ask('/v1/streams/hostile', { method: 'PUT', body: '{"watermarkDelayMs":0}' });
    const events = hostile.map((text) => ({
      id: text,
      stream: 'hostile',
      name: text,
      key: text,
      props: { [`x${text}`]: text },
    }));
    const sent = await ask('/v1/events', { method: 'POST', body: JSON.stringify({ events }) });
    expect(await sent.json()).toMatchObject({ accepted: hostile.length });
    const seen: unknown[] = [];
    let cursor = '';
    await eventually('all are read', async () => {
      const response = await ask(`/v1/streams/hostile/events?wait=1${cursor}`);
      const page = (await response.json()) as { events: Record<string, unknown>[]; nextCursor: string };
      seen.push(...page.events.map(({ id, name, key, props }) => ({ id, name, key, props })));
      cursor = `&cursor=${page.nextCursor}`;
      return seen.length >= hostile.length;
    });
    expect(seen).toEqual(
      expect.arrayContaining(events.map(({ id, name, key, props }) => ({ id, name, key, props }))),
    );
    expect(seen).toHaveLength(hostile.length);
  });

  test('cannot change what objects of the collector are', async () => {
    const polluting = '"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}';
    const bodies: readonly [string, string, string][] = [
      [
        'POST',
        '/v1/events',
        `{${polluting},"events":[{${polluting},"id":"p","stream":"hostile","name":"a","props":{${polluting}}}]}`,
      ],
      ['POST', '/v1/events', `{"events":[],"clock":{${polluting},"offsetMs":1,"rttMs":1}}`],
      ['PUT', '/v1/streams/polluted', `{${polluting}}`],
      ['PUT', '/v1/streams/hostile/consumers/polluted', `{${polluting}}`],
      ['POST', '/v1/keys', `{"role":"read",${polluting}}`],
      ['POST', '/v1/keys', '{"__proto__":{"role":"admin"}}'],
      ['POST', '/v1/dead-letters/replay', `{${polluting}}`],
      ['GET', '/v1/streams/hostile/events?__proto__[polluted]=true&constructor=1', ''],
      ['GET', '/v1/pixel.gif?name=a&stream=hostile&__proto__=x&__proto__[polluted]=x', ''],
    ];
    for (const [method, path, body] of bodies) {
      const response = await ask(path, { method, ...(body === '' ? {} : { body }) });
      expect([path, body, response.status < 500]).toEqual([path, body, true]);
      await response.body?.cancel();
    }
    expect(Object.keys(Object.getPrototypeOf({}) as object)).toEqual([]);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });
});
