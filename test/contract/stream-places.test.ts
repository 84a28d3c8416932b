import type { Problem, StoredEvent } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { fillStream, makeStream, numbered } from '../harness/filled-stream.ts';

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector();
});

afterAll(() => collector.stop());

interface Answer<Body> {
  readonly status: number;
  readonly body: Body & Problem;
}

async function get<Body>(path: string): Promise<Answer<Body>> {
  const reply = await collector.request(path);
  return { status: reply.status, body: (await reply.json()) as Answer<Body>['body'] };
}

describe('the cursor of a time', () => {
  test('gives the events from that time on, those of exactly that time among them', async () => {
    const stream = await makeStream(collector);
    for (const event of numbered(3)) await fillStream(collector, stream, [event]);
    const { events } = await collector.read(stream);
    const at = events[1]?.orderTime ?? '';
    const { body } = await get<{ cursor: string; at: string }>(`/v1/streams/${stream}/cursor?at=${at}`);
    expect(body.at).toBe(at);
    expect((await collector.read(stream, `cursor=${body.cursor}`)).events).toEqual(events.slice(1));
  });

  test.each(['', 'at=yesterday', 'at=1700000000'])('with %j is refused', async (query) => {
    const stream = await makeStream(collector);
    const { status, body } = await get(`/v1/streams/${stream}/cursor?${query}`);
    expect([status, body.code]).toEqual([400, 'invalid_parameter']);
  });
});

describe('one event', () => {
  test('is found by its id, as a page has it', async () => {
    const stream = await makeStream(collector);
    await fillStream(collector, stream, [{ id: 'order/1 ü', props: { total: 12.5 } }, { id: 'other' }]);
    const [event] = (await collector.read(stream)).events;
    const { status, body } = await get<StoredEvent>(
      `/v1/streams/${stream}/events/${encodeURIComponent('order/1 ü')}`,
    );
    expect(status).toBe(200);
    expect(body).toEqual(event);
    const { nextCursor } = await collector.read(stream, `cursor=${body.cursor}`);
    expect(nextCursor > body.cursor).toBe(true);
  });

  test('that is not there, or above the watermark, is not found', async () => {
    const stream = await makeStream(collector, 60_000);
    await collector.post([{ stream, id: 'waits', name: 'x' }]);
    for (const id of ['waits', 'never']) {
      const { status, body } = await get(`/v1/streams/${stream}/events/${id}`);
      expect([status, body.code]).toEqual([404, 'event_not_found']);
    }
  });
});

describe('the statistics of a stream', () => {
  test('say how many events there are, how fast they come, and how late they are', async () => {
    const stream = await makeStream(collector);
    expect((await get(`/v1/streams/${stream}`)).body).toMatchObject({
      events: 0,
      lateShare: null,
      lateByMs: null,
    });
    const old = new Date(Date.now() - 60_000).toISOString();
    await fillStream(collector, stream, numbered(9));
    await fillStream(collector, stream, [{ id: 'late', occurredAt: old }]);
    const { body } = await get<Record<string, unknown> & { lateShare: number; lateByMs: { max: number } }>(
      `/v1/streams/${stream}`,
    );
    expect(body).toMatchObject({ events: 10, eventsCounted: true, eventsPerSecond: { lastMinute: 10 / 60 } });
    expect(body.lateShare).toBeGreaterThanOrEqual(0.1);
    expect(body.lateByMs.max).toBeGreaterThanOrEqual(60_000);
  });
});
