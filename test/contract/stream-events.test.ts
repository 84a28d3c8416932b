import { type Page, parseTime } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readKey, startTestCollector, type TestCollector } from '../harness/collector.ts';

let collector: TestCollector;
let streams = 0;

beforeAll(async () => {
  collector = await startTestCollector();
});

afterAll(() => collector.stop());

/** A stream of its own; without a delay what is posted can be read at once. */
async function createStream(watermarkDelayMs = 0): Promise<string> {
  const stream = `stream-${++streams}`;
  const made = await collector.request(`/v1/streams/${stream}`, {
    method: 'PUT',
    body: { watermarkDelayMs },
  });
  expect(made.status).toBe(200);
  return stream;
}

const at = (ms: number): string => new Date(ms).toISOString();
const micros = (text: string): bigint => parseTime(text) ?? 0n;

/** Posts events in one batch and waits until all of them can be read. */
async function fill(stream: string, events: readonly object[]): Promise<Page> {
  const { nextCursor } = await collector.read(stream, 'from=latest');
  const posted = await collector.post(
    events.map((event) => ({ stream, name: 'x', ...event })),
    { clock: { offsetMs: 0, rttMs: 0 } },
  );
  expect(posted.rejected).toBe(0);
  const { respondedAt } = posted;
  let page = await collector.read(stream, `cursor=${nextCursor}&wait=10`);
  while (micros(page.watermark) <= micros(respondedAt))
    page = await collector.read(stream, `cursor=${page.nextCursor}&wait=1`);
  return page;
}

const numbered = (count: number, change: (index: number) => object = () => ({})) =>
  Array.from({ length: count }, (_, index) => ({ id: `event-${index}`, ...change(index) }));

describe('reading a stream', () => {
  test.each([1, 2, 7, 100])(
    'G6 following nextCursor in pages of %i gives every event exactly once, in order',
    async (limit) => {
      const stream = await createStream();
      await fill(stream, numbered(25));
      const seen: string[] = [];
      let page = await collector.read(stream, `limit=${limit}`);
      for (;;) {
        expect(page.events.length).toBeLessThanOrEqual(limit);
        seen.push(...page.events.map((event) => event.id));
        if (!page.hasMore) break;
        page = await collector.read(stream, `limit=${limit}&cursor=${page.nextCursor}`);
      }
      expect(seen).toEqual(numbered(25).map((event) => event.id));
    },
  );

  test("G6 an event's own cursor goes on right after it", async () => {
    const stream = await createStream();
    await fill(stream, numbered(5));
    const { events } = await collector.read(stream);
    const rest = await collector.read(stream, `cursor=${events[1]?.cursor}`);
    expect(rest.events).toEqual(events.slice(2));
  });

  test('G7 events that arrive out of order within the delay are read in event-time order', async () => {
    const stream = await createStream(2_000);
    const start = Date.now();
    const order = [3, 1, 4, 0, 2];
    for (const place of order) {
      await collector.post(
        [{ id: `at-${place}`, stream, name: 'x', occurredAt: at(start - 1_000 + place * 10) }],
        {
          clock: { offsetMs: 0, rttMs: 0 },
        },
      );
    }
    expect((await collector.read(stream)).events).toEqual([]);
    const page = await collector.read(stream, 'wait=10');
    const rest = await collector.read(
      stream,
      `cursor=${page.nextCursor}&wait=${page.events.length < 5 ? 5 : 0}`,
    );
    const events = [...page.events, ...rest.events];
    expect(events.map((event) => event.id)).toEqual(['at-0', 'at-1', 'at-2', 'at-3', 'at-4']);
    expect(events.every((event) => !event.late && event.orderTime === event.eventTime)).toBe(true);
  });

  test('G8 an event that arrives later than the delay is given at the watermark, flagged', async () => {
    const stream = await createStream();
    await fill(stream, [{ id: 'first' }]);
    await fill(stream, [{ id: 'late', occurredAt: at(Date.now() - 60_000) }]);
    const events = await collector.readAll(stream);
    expect(events.map((event) => event.id)).toEqual(['first', 'late']);
    expect(events[1]).toMatchObject({ late: true });
    expect(events[1]?.lateByMs).toBeGreaterThanOrEqual(60_000);
  });

  test('G9 a quiet stream: the page is empty, its cursor and the watermark move on with the clock', async () => {
    const stream = await createStream();
    const first = await collector.read(stream, 'from=latest');
    expect(first).toMatchObject({ events: [], hasMore: false, behindMs: 0 });
    const second = await collector.read(stream, `cursor=${first.nextCursor}&wait=1`);
    expect(micros(second.watermark)).toBeGreaterThan(micros(first.watermark));
    expect(second.nextCursor > first.nextCursor).toBe(true);
    expect(second.events).toEqual([]);
  });

  test('until ends a read before its time, and the cursor stays there', async () => {
    const stream = await createStream();
    for (const event of numbered(3)) await fill(stream, [event]);
    const { events } = await collector.read(stream);
    const until = events[2]?.orderTime ?? '';
    const page = await collector.read(stream, `until=${until}`);
    expect(page.events).toEqual(events.slice(0, 2));
    expect(page.hasMore).toBe(false);
    expect((await collector.read(stream, `cursor=${page.nextCursor}`)).events).toEqual(events.slice(2));
  });

  test('from a time begins with the events at exactly that order time', async () => {
    const stream = await createStream();
    for (const event of numbered(3)) await fill(stream, [event]);
    const { events } = await collector.read(stream);
    expect((await collector.read(stream, `from=${events[1]?.orderTime}`)).events).toEqual(events.slice(1));
  });

  test('maxBytes ends a page early but always gives one event', async () => {
    const stream = await createStream();
    await fill(
      stream,
      numbered(4, () => ({ props: { pad: 'x'.repeat(2_000) } })),
    );
    const one = await collector.read(stream, 'maxBytes=1');
    expect(one).toMatchObject({ hasMore: true, events: [{ id: 'event-0' }] });
    const two = await collector.read(stream, 'maxBytes=5000');
    expect(two.events).toHaveLength(2);
    const rest = await collector.read(stream, `cursor=${two.nextCursor}&maxBytes=999999999`);
    expect(rest.events).toHaveLength(2);
  });

  test('a long poll ends with the first event, another one empty at its deadline', async () => {
    const stream = await createStream();
    const { nextCursor } = await collector.read(stream, 'from=latest');
    const waiting = collector.read(stream, `cursor=${nextCursor}&wait=20`);
    await collector.post([{ id: 'awaited', stream, name: 'x' }]);
    expect((await waiting).events.map((event) => event.id)).toEqual(['awaited']);
    const started = performance.now();
    expect((await collector.read(stream, 'from=latest&wait=1')).events).toEqual([]);
    expect(performance.now() - started).toBeGreaterThan(900);
  });

  test('G6 a cursor works on another collector', async () => {
    const stream = await createStream();
    await fill(stream, numbered(4));
    const { events, nextCursor } = await collector.read(stream, 'limit=2');
    const other = await startTestCollector({}, collector.databaseUrl);
    try {
      const rest = await other.read(stream, `cursor=${nextCursor}`);
      expect([...events, ...rest.events].map((event) => event.id)).toEqual(
        numbered(4).map((event) => event.id),
      );
    } finally {
      await other.stop();
    }
  });

  test('G10 reading twice gives the same', async () => {
    const stream = await createStream();
    await fill(stream, numbered(5));
    const { events } = await collector.read(stream, 'limit=3');
    expect((await collector.read(stream, 'limit=3')).events).toEqual(events);
  });
});

describe('a read that is refused', () => {
  const refused = async (path: string): Promise<Record<string, unknown> & { status: number }> => {
    const reply = await collector.request(path, { key: readKey });
    expect(reply.headers.get('content-type')).toBe('application/problem+json');
    return (await reply.json()) as Record<string, unknown> & { status: number };
  };

  test.each([
    ['limit=0', 'invalid_parameter'],
    ['limit=10001', 'invalid_parameter'],
    ['limit=ten', 'invalid_parameter'],
    ['wait=31', 'invalid_parameter'],
    ['until=tomorrow', 'invalid_parameter'],
    ['from=1700000000', 'invalid_parameter'],
    ['lmit=5', 'invalid_parameter'],
    ['cursor=', 'invalid_cursor'],
    ['cursor=abc', 'invalid_cursor'],
    ['cursor=-McsfZ7kxx4J-----N-5NCj1irSE-------1--AE4C7B', 'invalid_cursor'],
  ])('%s is %s, and the detail names the parameter', async (query, code) => {
    const stream = await createStream();
    const problem = await refused(`/v1/streams/${stream}/events?${query}`);
    expect(problem).toMatchObject({ status: 400, code });
    expect(problem['detail']).toContain(query.split('=')[0]);
  });

  test('a cursor beside from is refused', async () => {
    const stream = await createStream();
    const { nextCursor } = await collector.read(stream);
    expect(await refused(`/v1/streams/${stream}/events?from=latest&cursor=${nextCursor}`)).toMatchObject({
      code: 'invalid_parameter',
    });
  });

  test('a cursor of another stream is refused', async () => {
    const [one, other] = [await createStream(), await createStream()];
    const { nextCursor } = await collector.read(one);
    expect(await refused(`/v1/streams/${other}/events?cursor=${nextCursor}`)).toMatchObject({
      status: 400,
      code: 'invalid_cursor',
    });
  });

  test.each(['nowhere', '%20', 'a'.repeat(65)])('stream %s does not exist', async (stream) => {
    expect(await refused(`/v1/streams/${stream}/events`)).toMatchObject({
      status: 404,
      code: 'stream_not_found',
    });
  });
});
