import { createClient, type Client, type Window } from '@tidemark/node';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { runCli } from '../../sdk-node/src/cli/cli.ts';
import type { Output } from '../../sdk-node/src/cli/output.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { type Proxy, startProxy } from '../harness/proxy.ts';
import { type ServedCollector, serveCollector, testKeys } from '../harness/served-collector.ts';

let database: TestDatabase;
let collector: ServedCollector;
let proxy: Proxy;
let client: Client;

const admin = { authorization: `Bearer ${testKeys.admin}`, 'content-type': 'application/json' };
const put = (watermarkDelayMs: number) =>
  collector.app.request('/v1/streams/clicks', {
    method: 'PUT',
    headers: admin,
    body: JSON.stringify({ watermarkDelayMs }),
  });
const minutes = 20;
const perMinute = 30;
const start = Date.parse('2026-01-31T12:00:00Z');

async function post(events: readonly object[]): Promise<void> {
  const body = JSON.stringify({ clock: { offsetMs: 0, rttMs: 0 }, events });
  const response = await collector.app.request('/v1/events', { method: 'POST', headers: admin, body });
  if (response.status !== 200) throw new Error(await response.text());
}

const click = (minute: number, number: number) => ({
  id: `${minute}-${number}`,
  stream: 'clicks',
  name: 'click',
  occurredAt: new Date(start + minute * 60_000 + number * 1_000).toISOString(),
  props: { adId: `ad-${number % 3}`, price: 0.5 },
});

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url);
  proxy = await startProxy(() => ({ kind: 'fine' }));
  proxy.aim(Number(new URL(collector.url).port));
  client = createClient({ url: proxy.url, key: testKeys.read, exitMs: 0, requestTimeoutMs: 2_000 });
  await put(200 * 365 * 86_400_000);
  await post(
    Array.from({ length: minutes }, (_, minute) =>
      Array.from({ length: perMinute }, (__, number) => click(minute, number)),
    ).flat(),
  );
  await put(0);
});

afterAll(async () => {
  await client.close();
  await proxy.close();
  await collector.stop();
  await database.drop();
});

const options = {
  size: '60s',
  groupBy: 'props.adId',
  sum: 'props.price',
  from: '2026-01-31T12:00:00Z',
} as const;

/** All windows with events in them, when the watermark has passed them. */
async function whole(): Promise<Exclude<Window, { readonly empty: true }>[]> {
  const found: Exclude<Window, { readonly empty: true }>[] = [];
  await eventually('the watermark has passed', async () => {
    found.length = 0;
    for await (const window of client.windows('clicks', { ...options, follow: false, pageWindows: 7 })) {
      if (!('empty' in window) && window.panes.length > 0) found.push(window);
    }
    return found.length >= minutes;
  });
  return found;
}

test('G11 the node SDK gives complete windows, each once and in order, over pages', async () => {
  const windows = (await whole()).slice(0, minutes);
  expect(windows.map((window) => Date.parse(window.start))).toEqual(
    Array.from({ length: minutes }, (_, minute) => start + minute * 60_000),
  );
  for (const { start: windowStart, panes } of windows) {
    expect(panes.toSorted((a, b) => String(a.group).localeCompare(String(b.group)))).toEqual(
      ['ad-0', 'ad-1', 'ad-2'].map((group) => ({ windowStart, timing: 'onTime', group, count: 10, sum: 5 })),
    );
  }
});

test('G11 goes on at a cursor, over a restart and in a new epoch, and waits for windows to come', async () => {
  await whole();
  const pages = client.windowPages('clicks', { ...options, follow: false, pageWindows: 5 });
  const { value: first } = await pages.next();
  await pages.return();
  if (first === undefined) throw new Error('there is no page');
  const seen: string[] = [];
  const stop = new AbortController();
  const loop = (async () => {
    const rest = { size: '60s', groupBy: 'props.adId', cursor: first.nextCursor, pageWindows: 5 } as const;
    for await (const window of client.windows('clicks', { ...rest, signal: stop.signal })) {
      if (!('empty' in window) && window.panes.length > 0) seen.push(window.start);
    }
  })();
  await eventually('the rest is seen', () => seen.length >= minutes - 5);
  proxy.aim(undefined);
  proxy.cut();
  await collector.stop();
  collector = await serveCollector(database.url);
  proxy.aim(Number(new URL(collector.url).port));
  const epoch = await collector.app.request('/v1/epoch', { method: 'POST', headers: admin });
  expect(epoch.status).toBe(200);
  stop.abort();
  await loop;
  expect(seen.slice(0, minutes - 5)).toEqual(
    Array.from({ length: minutes - 5 }, (_, index) =>
      new Date(start + (index + 5) * 60_000).toISOString().replace('000Z', '000000Z'),
    ),
  );

  // A cursor of the epoch before, when the reader comes back.
  const again: string[] = [];
  for await (const window of client.windows('clicks', {
    size: '60s',
    groupBy: 'props.adId',
    cursor: first.nextCursor,
    follow: false,
  })) {
    if (!('empty' in window) && window.panes.length > 0) again.push(window.start);
  }
  expect(again.slice(0, minutes - 5)).toEqual(seen.slice(0, minutes - 5));
  await expect(
    client
      .windows('clicks', {
        ...options,
        from: undefined,
        cursor: first.nextCursor,
        onEpochChanged: 'error',
        follow: false,
      })
      .next(),
  ).rejects.toMatchObject({ code: 'epoch_changed' });
});

test('tidemark windows prints them for people and for programs', async () => {
  await whole();
  let out = '';
  const output: Output = {
    isTerminal: false,
    columns: 80,
    write(text) {
      out += text;
      return Promise.resolve();
    },
  };
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const run = (...args: string[]) =>
    runCli(['windows', 'clicks', '--size', '60s', '--from', '2026-01-31T12:00:00Z', ...args], {
      stdin: process.stdin,
      stdout: output,
      stderr: output,
      environment: { TIDEMARK_URL: proxy.url, TIDEMARK_KEY: testKeys.read },
      stop: stop.signal,
    });
  expect(await run('--sum', 'props.price')).toBe(0);
  const [line = ''] = out.split('\n');
  expect(JSON.parse(line)).toMatchObject({
    start: '2026-01-31T12:00:00.000000Z',
    panes: [{ count: 30, sum: 15 }],
  });

  out = '';
  expect(await run('--format', 'pretty', '--group-by', 'props.adId')).toBe(0);
  expect(out).toMatch(/^WINDOW +LATE +GROUP +COUNT +SUM\n2026-01-31 12:00:00 +"ad-\d" +10\n/);
  out = '';
  expect(await run('--group-by', 'nonsense')).toBe(1);
  expect(out).toContain('invalid_parameter');
});
