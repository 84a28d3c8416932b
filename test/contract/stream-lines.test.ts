import type { PageEnd, Problem, StoredEvent } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { fillStream, makeStream, numbered } from '../harness/filled-stream.ts';

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector();
});

afterAll(() => collector.stop());

interface Lines {
  readonly events: readonly StoredEvent[];
  readonly trailer: PageEnd & { readonly problem?: Problem };
}

async function readLines(stream: string, query = ''): Promise<Lines> {
  const reply = await collector.request(`/v1/streams/${stream}/events?${query}`, {
    headers: { accept: 'application/x-ndjson' },
  });
  expect(reply.status).toBe(200);
  expect(reply.headers.get('content-type')).toBe('application/x-ndjson');
  expect(reply.headers.get('cache-control')).toBe('no-store');
  const text = await reply.text();
  expect(text.endsWith('\n')).toBe(true);
  const lines = text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as StoredEvent & Lines['trailer']);
  const trailer = lines.pop();
  if (trailer === undefined) throw new Error('there is no trailer');
  expect(trailer).not.toHaveProperty('id');
  for (const event of lines) expect(event).toHaveProperty('id');
  return { events: lines, trailer };
}

describe('a page as lines', () => {
  test('has the events of a JSON page, one a line, and its end as the last line', async () => {
    const stream = await makeStream(collector);
    await fillStream(collector, stream, numbered(5));
    const { events, trailer } = await readLines(stream, 'limit=3');
    const page = await collector.read(stream, 'limit=3');
    expect(events).toEqual(page.events);
    expect(trailer).toMatchObject({ nextCursor: page.nextCursor, hasMore: true });
    const rest = await readLines(stream, `cursor=${trailer.nextCursor}`);
    expect(rest.events.map(({ id }) => id)).toEqual(['event-3', 'event-4']);
    expect(rest.trailer).toMatchObject({ hasMore: false, behindMs: 0 });
  });

  test('keeps every event on its line, whatever white space its props were sent with', async () => {
    const stream = await makeStream(collector);
    const reply = await collector.request('/v1/events', {
      body: `{"events":[{"stream":"${stream}","name":"x","id":"spaced","props":{\n "a": [1,\r\n 12345678901234567890],\t"b": "line\\nbreak"}}]}`,
    });
    expect(reply.status).toBe(200);
    await fillStream(collector, stream, [{ id: 'next' }]);
    const { events } = await readLines(stream);
    expect(events.map(({ id }) => id)).toEqual(['spaced', 'next']);
    expect(events[0]?.props?.['b']).toBe('line\nbreak');
    const text = await (
      await collector.request(`/v1/streams/${stream}/events`, { headers: { accept: 'application/x-ndjson' } })
    ).text();
    expect(text).toContain('12345678901234567890');
  });

  test('G6 longer than a piece is fetched in pieces, and has each event once, in order, up to the watermark it began with', async () => {
    const stream = await makeStream(collector);
    const batch = (from: number) =>
      Array.from({ length: 100 }, (_, index) => ({
        id: `large-${from + index}`,
        props: { filling: 'x'.repeat(30_000) },
      }));
    for (const from of [0, 100]) {
      for (let part = 0; part < 100; part += 25)
        await fillStream(collector, stream, batch(from).slice(part, part + 25));
    }
    const { events, trailer } = await readLines(stream, 'limit=10000&maxBytes=16777216');
    expect(events.map(({ id }) => id)).toEqual(Array.from({ length: 200 }, (_, index) => `large-${index}`));
    expect(trailer.hasMore).toBe(false);
    const cut = await readLines(stream, 'maxBytes=2500000');
    expect(cut.trailer.hasMore).toBe(true);
    expect(cut.events.length).toBeGreaterThan(60);
    const rest = await readLines(stream, `cursor=${cut.trailer.nextCursor}&limit=10000&maxBytes=16777216`);
    expect([...cut.events, ...rest.events].map(({ id }) => id)).toEqual(events.map(({ id }) => id));
  });

  test('waits for its first event as a JSON page does', async () => {
    const stream = await makeStream(collector);
    const { trailer } = await readLines(stream, 'from=latest');
    const waiting = readLines(stream, `cursor=${trailer.nextCursor}&wait=20`);
    await collector.post([{ stream, name: 'x', id: 'awaited' }]);
    expect((await waiting).events.map(({ id }) => id)).toEqual(['awaited']);
  });

  test('that cannot begin is a problem like any other', async () => {
    const reply = await collector.request('/v1/streams/nowhere/events', {
      headers: { accept: 'application/x-ndjson' },
    });
    expect(reply.status).toBe(404);
    expect(reply.headers.get('content-type')).toBe('application/problem+json');
  });
});
