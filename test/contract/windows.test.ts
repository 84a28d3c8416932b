import type { Pane, Problem, Window, WindowsPage } from '@tidemark/core/wire';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { micros, totalsOfEvents, totalsOfWindows } from '../harness/batch-count.ts';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { eventually } from '../harness/eventually.ts';
import { makeStream } from '../harness/filled-stream.ts';
import { runs } from '../harness/seed.ts';

const minute = 60_000;
const tenYearsMs = 10 * 366 * 86_400_000;
const noonMs = Date.UTC(2026, 0, 31, 12);

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector();
});

afterAll(() => collector.stop());

interface Sent {
  readonly atMs: number;
  readonly [field: string]: unknown;
}

const toEvent = (stream: string, { atMs, ...event }: Sent) => ({
  stream,
  name: 'clicked',
  occurredAt: new Date(atMs).toISOString(),
  ...event,
});

/** A stream with these events in the order of their times, all below its watermark. */
async function makeHistory(events: readonly Sent[]): Promise<string> {
  const stream = await makeStream(collector, tenYearsMs);
  for (let from = 0; from < events.length; from += 1_000) {
    const part = events.slice(from, from + 1_000).map((event) => toEvent(stream, event));
    await collector.post(part, { clock: { offsetMs: 0, rttMs: 0 } });
  }
  await setDelay(stream, 0);
  return stream;
}

/** Comes back when the watermark is where the new delay has it. */
async function setDelay(stream: string, watermarkDelayMs: number): Promise<void> {
  const nowMicros = BigInt(Date.now()) * 1_000n;
  await collector.request(`/v1/streams/${stream}`, { method: 'PUT', body: { watermarkDelayMs } });
  await eventually('the watermark has caught up', async () => {
    const { watermark } = await collector.read(stream, 'from=latest');
    return micros(watermark) > nowMicros - BigInt(watermarkDelayMs) * 1_000n;
  });
}

async function readWindows(stream: string, query: string): Promise<WindowsPage> {
  const reply = await collector.request(`/v1/streams/${stream}/windows?${query}`);
  const text = await reply.text();
  if (reply.status !== 200) throw new Error(`${reply.status} ${text}`);
  return JSON.parse(text) as WindowsPage;
}

/** Follows `nextCursor` until nothing more is complete. */
async function readAllWindows(stream: string, query: string): Promise<readonly Window[]> {
  const windows: Window[] = [];
  let page = await readWindows(stream, query);
  while (page.windows.length > 0) {
    windows.push(...page.windows);
    page = await readWindows(stream, `${query.replace(/&from=[^&]*/, '')}&cursor=${page.nextCursor}`);
  }
  return windows;
}

const filled = (windows: readonly Window[]) =>
  windows.flatMap((window) => ('empty' in window || window.panes.length === 0 ? [] : [window]));
const at = (ms: number): string => new Date(ms).toISOString().replace('.000Z', '.000000Z');

describe('windows', () => {
  test('count and sum the events of each minute, from the first that has any', async () => {
    const stream = await makeHistory([
      { atMs: noonMs, props: { price: 1.1 } },
      { atMs: noonMs + 59_999, props: { price: 2.2 } },
      { atMs: noonMs + minute, props: { price: 'free' } },
      { atMs: noonMs + 3 * minute, props: null },
    ]);
    const page = await readWindows(stream, 'size=60s&sum=props.price&limit=4');
    const pane = (count: number, sum: number | null, ms: number) => ({
      windowStart: at(ms),
      timing: 'onTime',
      group: null,
      count,
      sum,
    });
    expect(page.windows).toEqual([
      { start: at(noonMs), end: at(noonMs + minute), panes: [pane(2, 3.3, noonMs)] },
      { start: at(noonMs + minute), end: at(noonMs + 2 * minute), panes: [pane(1, null, noonMs + minute)] },
      { start: at(noonMs + 2 * minute), end: at(noonMs + 3 * minute), panes: [] },
      {
        start: at(noonMs + 3 * minute),
        end: at(noonMs + 4 * minute),
        panes: [pane(1, null, noonMs + 3 * minute)],
      },
    ]);
    expect(micros(page.completeThrough)).toBeLessThanOrEqual(micros(page.watermark));
  });

  test('sum without losing a digit', async () => {
    const stream = await makeStream(collector, tenYearsMs);
    const numbers = ['9007199254740993', '0.1', '0.2', '1e-20', '1e400'];
    const events = numbers.map(
      (number) =>
        `{"stream":"${stream}","name":"x","occurredAt":"2026-01-31T12:00:00Z","props":{"n":${number}}}`,
    );
    await collector.request('/v1/events', {
      body: `{"clock":{"offsetMs":0,"rttMs":0},"events":[${events.join(',')}]}`,
    });
    await setDelay(stream, 0);
    const reply = await collector.request(`/v1/streams/${stream}/windows?size=1h&sum=props.n&limit=1`);
    // A number with four hundred digits is left out.
    expect(await reply.text()).toContain('"count":5,"sum":9007199254740993.30000000000000000001}');
  });

  test('runs of more than sixty empty windows are one entry, fewer are listed', async () => {
    const stream = await makeHistory([
      { atMs: noonMs },
      { atMs: noonMs + 62 * minute },
      { atMs: noonMs + 123 * minute },
    ]);
    const windows = await readAllWindows(stream, 'size=60s&limit=70');
    expect(windows[1]).toEqual({
      start: at(noonMs + minute),
      end: at(noonMs + 62 * minute),
      empty: true,
      windows: 61,
    });
    expect(filled(windows)).toHaveLength(3);
    expect(windows.slice(3, 63).every((window) => 'panes' in window && window.panes.length === 0)).toBe(true);
  });

  test('group by name, by key, or by what is at a place in the props', async () => {
    const stream = await makeHistory([
      { atMs: noonMs, name: 'b', key: 'ü', props: { ad: { id: 1 } } },
      { atMs: noonMs, name: 'a', props: { ad: { id: 1.0 } } },
      { atMs: noonMs, name: 'a', key: 'k', props: { ad: { id: 'one' } } },
      { atMs: noonMs, name: 'a', props: { ad: { id: true } } },
      { atMs: noonMs, name: 'a', props: { ad: { id: [1] } } },
      { atMs: noonMs, name: 'a', props: { ad: { id: null } } },
      { atMs: noonMs, name: 'a', props: { ad: { id: `${'x'.repeat(256)}1` } } },
      { atMs: noonMs, name: 'a', props: { ad: { id: `${'x'.repeat(256)}2` } } },
    ]);
    const groups = async (groupBy: string) => {
      const { windows } = await readWindows(stream, `size=60s&limit=1&groupBy=${groupBy}`);
      return new Map(filled(windows)[0]?.panes.map(({ group, count }) => [group, count]));
    };
    expect(await groups('name')).toEqual(
      new Map([
        ['a', 7],
        ['b', 1],
      ]),
    );
    expect(await groups('key')).toEqual(
      new Map<unknown, number>([
        [null, 6],
        ['k', 1],
        ['ü', 1],
      ]),
    );
    expect(await groups('props.ad.id')).toEqual(
      new Map<unknown, number>([
        [null, 2],
        [1, 2],
        ['one', 1],
        [true, 1],
        ['x'.repeat(256), 2],
      ]),
    );
    expect(await groups('props.nothing')).toEqual(new Map([[null, 8]]));
  });

  test('before 1970 are aligned as those after it are', async () => {
    const stream = await makeStream(collector, 100 * 366 * 86_400_000);
    await collector.post([toEvent(stream, { atMs: -1 })], { clock: { offsetMs: 0, rttMs: 0 } });
    await setDelay(stream, 0);
    const { windows } = await readWindows(stream, 'size=60s&limit=1');
    expect(windows[0]).toMatchObject({
      start: at(-minute),
      end: at(0),
      panes: [{ windowStart: at(-minute), count: 1 }],
    });
  });

  test('begin at the first whole window from a time on, at the earliest event, or where the present one begins', async () => {
    const stream = await makeHistory([{ atMs: noonMs }, { atMs: noonMs + minute }]);
    const from = async (text: string) =>
      (await readWindows(stream, `size=60s&limit=1&from=${text}`)).windows[0]?.start;
    expect(await from(at(noonMs))).toBe(at(noonMs));
    expect(await from(at(noonMs + 1))).toBe(at(noonMs + minute));
    expect(await from('earliest')).toBe(at(noonMs));
    const page = await readWindows(stream, 'size=1d&from=latest');
    expect(page.windows).toEqual([]);
    expect(page.completeThrough).toMatch(/T00:00:00\.000000Z$/);
  });
});

describe('late events', () => {
  test('G11 the ad clicks of a minute: what comes late is added as a late pane of a later window, and no window ever changes', async () => {
    const stream = await makeStream(collector, 0);
    const now = Date.now();
    const click = (adId: string, ageMs: number) => ({
      stream,
      name: 'click',
      occurredAt: new Date(now - ageMs).toISOString(),
      props: { adId },
    });
    const post = (events: readonly object[]) => collector.post(events, { clock: { offsetMs: 0, rttMs: 0 } });
    await post([click('shoes', 0), click('shoes', 0), click('lamps', 0)]);
    // Two hours late: they belong to a minute that was complete long ago.
    await post([click('shoes', 7_200_000), click('shoes', 7_200_000)]);
    const query = 'size=1s&groupBy=props.adId';
    let page = await readWindows(stream, `${query}&wait=5`);
    const windows: Window[] = [...page.windows];
    const counted = () =>
      filled(windows)
        .flatMap(({ panes }) => panes)
        .reduce((sum, { count }) => sum + count, 0);
    while (counted() < 5) {
      page = await readWindows(stream, `${query}&wait=5&cursor=${page.nextCursor}`);
      windows.push(...page.windows);
    }
    const panes = filled(windows).flatMap((window) =>
      window.panes.map((pane) => ({ ...pane, in: window.start })),
    );
    const late = panes.filter(({ timing }) => timing === 'late');
    const belated = late.filter(
      ({ windowStart, in: start }) => micros(start) - micros(windowStart) > 7_000_000_000n,
    );
    expect(belated).toMatchObject([{ group: 'shoes', count: 2 }]);
    const total = (adId: string) =>
      panes.filter(({ group }) => group === adId).reduce((sum, { count }) => sum + count, 0);
    expect([total('shoes'), total('lamps')]).toEqual([4, 1]);
    expect(await readAllWindowsThrough(stream, query, windows)).toEqual(filled(windows));
    const events = await collector.readAll(stream);
    expect(totalsOfWindows(windows)).toEqual(
      totalsOfEvents(events, 1_000, ({ props }) => props?.['adId'] as string),
    );
  });

  /** The same windows once more, from the beginning. */
  async function readAllWindowsThrough(stream: string, query: string, windows: readonly Window[]) {
    const again = filled(await readAllWindows(stream, query));
    return again.slice(0, filled(windows).length);
  }

  test('G11 all panes of all windows together are what a batch counts, whatever came late, however the replies are cut', async () => {
    const sent = fc.record({
      atMs: fc.integer({ min: noonMs, max: noonMs + 40 * minute }),
      adId: fc.constantFrom('a', 'b', 'c'),
      price: fc.integer({ min: 0, max: 1_000 }),
    });
    const scenario = fc.record({
      history: fc.array(sent, { minLength: 1, maxLength: 60 }),
      late: fc.array(sent, { maxLength: 20 }),
      size: fc.constantFrom(1, 7, 60, 3_600),
      limit: fc.integer({ min: 1, max: 9 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ history, late, size, limit }) => {
        const toSent = ({ atMs, adId, price }: (typeof history)[number]) => ({
          atMs,
          props: { adId, price },
        });
        const stream = await makeHistory(history.map(toSent));
        if (late.length > 0) {
          await collector.post(
            late.map((event) => toEvent(stream, toSent(event))),
            { clock: { offsetMs: 0, rttMs: 0 } },
          );
        }
        // From here on the watermark is not waited for: all is in windows of a day's size that the clock has passed, or it is not.
        const query = `size=${size}s&groupBy=props.adId&sum=props.price&limit=${limit}`;
        const windows = await readAllWindows(stream, query);
        const complete = micros((await readWindows(stream, `${query}&from=latest`)).completeThrough);
        const through = windows.at(-1)?.end ?? '';
        expect(micros(through)).toBeLessThanOrEqual(complete);
        const events = (await collector.readAll(stream)).filter(
          ({ orderTime }) => micros(orderTime) < micros(through),
        );
        const expected = totalsOfEvents(
          events,
          size * 1_000,
          ({ props }) => props?.['adId'] as string,
          ({ props }) => Number(props?.['price']),
        );
        expect(totalsOfWindows(windows)).toEqual(expected);
      }),
      runs(12),
    );
  });
});

describe('a window with very many groups', () => {
  test('G5 goes on in the next reply, each pane once', async () => {
    const stream = await makeHistory([
      { atMs: noonMs - minute, key: 'before' },
      ...Array.from({ length: 10_500 }, (_, index) => ({ atMs: noonMs, key: `user-${index}` })),
      { atMs: noonMs + minute, key: 'after' },
    ]);
    const query = 'size=60s&groupBy=key';
    const first = await readWindows(stream, query);
    // The one that does not fit waits for a reply of its own.
    expect(first.windows).toHaveLength(1);
    const second = await readWindows(stream, `${query}&cursor=${first.nextCursor}`);
    expect(second.windows).toMatchObject([{ start: at(noonMs) }]);
    const third = await readWindows(stream, `${query}&cursor=${second.nextCursor}&limit=2`);
    expect(third.windows).toMatchObject([{ start: at(noonMs), continued: true }]);
    const fourth = await readWindows(stream, `${query}&cursor=${third.nextCursor}&limit=1`);
    expect(fourth.windows).toMatchObject([{ start: at(noonMs + minute), panes: [{ group: 'after' }] }]);
    const panes = filled([...second.windows, ...third.windows]).flatMap((window) => window.panes);
    expect(panes).toHaveLength(10_500);
    expect(new Set(panes.map(({ group }: Pane) => group)).size).toBe(10_500);
  });
});

test('G5 a group is never long: numbers of many digits, which are short to write, have no group of their own', async () => {
  const stream = await makeStream(collector, tenYearsMs);
  const events = ['1e90000', '-1e90001', '1e-300', '7', '1e100'].map(
    (number) => `{"stream":"${stream}","name":"x","occurredAt":"${at(noonMs)}","props":{"n":${number}}}`,
  );
  await collector.request('/v1/events', {
    body: `{"clock":{"offsetMs":0,"rttMs":0},"events":[${events.join(',')}]}`,
  });
  await setDelay(stream, 0);
  const { windows } = await readWindows(stream, 'size=60s&limit=1&groupBy=props.n');
  expect(filled(windows)[0]?.panes.map(({ group, count }) => [group, count])).toEqual([
    [null, 3],
    [7, 1],
    [1e100, 1],
  ]);
});

test('G5 reads of windows that wait count as open reads, and one too many is refused', async () => {
  const narrow = await startTestCollector({ openReadsMax: 1 }, collector.databaseUrl);
  try {
    const stream = await makeStream(collector, 0);
    const ask = () => narrow.request(`/v1/streams/${stream}/windows?size=1d&from=latest&wait=30`);
    const both = [ask(), ask()];
    // One has the place, whichever came first; the other hears at once that there is none.
    const refused = await Promise.race(both);
    expect([refused.status, ((await refused.json()) as Problem).code]).toEqual([429, 'overloaded']);
    await narrow.close();
    const statuses = await Promise.all(both.map(async (reply) => (await reply).status));
    expect(statuses.toSorted()).toEqual([200, 429]);
  } finally {
    await narrow.stop();
  }
});

describe('a cursor of windows', () => {
  test('G6 goes on after the windows that were given, on another collector too', async () => {
    const stream = await makeHistory(
      Array.from({ length: 9 }, (_, index) => ({ atMs: noonMs + index * minute })),
    );
    const first = await readWindows(stream, 'size=60s&limit=4');
    const other = await startTestCollector({}, collector.databaseUrl);
    try {
      const path = `/v1/streams/${stream}/windows?size=60s&limit=4&cursor=${first.nextCursor}`;
      const rest = (await (await other.request(path)).json()) as WindowsPage;
      expect(rest.windows.map(({ start }) => start)).toEqual(
        [4, 5, 6, 7].map((index) => at(noonMs + index * minute)),
      );
    } finally {
      await other.stop();
    }
  });

  test('is good for its stream, size and grouping alone', async () => {
    const stream = await makeHistory([{ atMs: noonMs }]);
    const elsewhere = await makeHistory([{ atMs: noonMs }]);
    const { nextCursor } = await readWindows(stream, 'size=60s&groupBy=name&limit=1');
    const code = async (path: string) => {
      const reply = await collector.request(path);
      return [reply.status, ((await reply.json()) as Problem).code];
    };
    const query = `cursor=${nextCursor}`;
    expect((await readWindows(stream, `size=60s&groupBy=name&limit=1&${query}`)).windows).not.toEqual([]);
    for (const path of [
      `/v1/streams/${stream}/windows?size=5m&groupBy=name&${query}`,
      `/v1/streams/${stream}/windows?size=60s&groupBy=key&${query}`,
      `/v1/streams/${stream}/windows?size=60s&${query}`,
      `/v1/streams/${elsewhere}/windows?size=60s&groupBy=name&${query}`,
      `/v1/streams/${stream}/events?${query}`,
    ])
      expect(await code(path)).toEqual([400, 'invalid_cursor']);
    const page = await collector.read(stream);
    expect(await code(`/v1/streams/${stream}/windows?size=60s&cursor=${page.nextCursor}`)).toEqual([
      400,
      'invalid_cursor',
    ]);
  });
});

test.each([
  '',
  'size=0s',
  'size=25h',
  'size=2d',
  'size=1.5s',
  'size=60',
  'size=60s&groupBy=props',
  'size=60s&groupBy=props..a',
  'size=60s&groupBy=id',
  `size=60s&sum=props.${'a'.repeat(300)}`,
  'size=60s&sum=name',
  'size=60s&limit=0',
  'size=60s&limit=1001',
  'size=60s&wait=31',
  'size=60s&from=noon',
  'size=60s&until=2026-01-31T12:00:00Z',
])('windows?%s is refused', async (query) => {
  const stream = await makeStream(collector);
  const reply = await collector.request(`/v1/streams/${stream}/windows?${query}`);
  expect([reply.status, ((await reply.json()) as Problem).code]).toEqual([400, 'invalid_parameter']);
});

test('a path into props is a value, never SQL', async () => {
  const stream = await makeHistory([{ atMs: noonMs, props: { [`a"}'`]: 5 } } satisfies Sent]);
  const path = encodeURIComponent(`props.a"}'`);
  const { windows } = await readWindows(stream, `size=60s&limit=1&groupBy=${path}&sum=${path}`);
  expect(filled(windows)[0]?.panes).toMatchObject([{ group: 5, sum: 5 } satisfies Partial<Pane>]);
});
