import { parseTime } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readKey, startTestCollector, type TestCollector, writeKey } from '../harness/collector.ts';

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector({ maxStreams: 8 });
});

afterAll(() => collector.stop());

interface StreamAnswer {
  readonly stream: string;
  readonly watermark: string;
  readonly watermarkDelayMs: number;
  readonly retentionDays: number | null;
  readonly dedupeDays: number;
  readonly epoch: number;
  readonly earliestCursor: string;
  readonly latestCursor: string;
  readonly effectiveFrom?: string;
}

async function put(stream: string, settings: object, status = 200): Promise<StreamAnswer> {
  const reply = await collector.request(`/v1/streams/${stream}`, { method: 'PUT', body: settings });
  expect(reply.status).toBe(status);
  return (await reply.json()) as StreamAnswer;
}

async function get(stream: string): Promise<StreamAnswer> {
  const reply = await collector.request(`/v1/streams/${stream}`, { key: readKey });
  expect(reply.status).toBe(200);
  return (await reply.json()) as StreamAnswer;
}

const micros = (text: string | undefined): bigint => parseTime(text ?? '') ?? 0n;

describe('streams', () => {
  test('a stream is made by its first event, with a delay of five seconds', async () => {
    await collector.post([{ stream: 'first-use', name: 'x' }]);
    expect(await get('first-use')).toMatchObject({ stream: 'first-use', watermarkDelayMs: 5_000, epoch: 1 });
  });

  test('PUT creates a stream, changes what it names, and leaves the rest', async () => {
    expect(await put('settings', { watermarkDelayMs: 60_000 })).toMatchObject({ watermarkDelayMs: 60_000 });
    expect(await put('settings', {})).toMatchObject({ watermarkDelayMs: 60_000 });
    expect(await put('settings', { watermarkDelayMs: 0 })).toMatchObject({ watermarkDelayMs: 0 });
    expect(await get('settings')).toMatchObject({ watermarkDelayMs: 0 });
  });

  test('PUT says for how long events and ids are kept, each by itself; null: for ever', async () => {
    expect(await get('settings')).toMatchObject({ retentionDays: null, dedupeDays: 7 });
    expect(await put('settings', { retentionDays: 30 })).toMatchObject({ retentionDays: 30, dedupeDays: 7 });
    const changed = { watermarkDelayMs: 0, retentionDays: 30, dedupeDays: 90 };
    expect(await put('settings', { dedupeDays: 90 })).toMatchObject(changed);
    expect(await put('settings', { retentionDays: null })).toMatchObject({ ...changed, retentionDays: null });
  });

  test('the cursors of a stream are its ends', async () => {
    const { earliestCursor, latestCursor } = await get('first-use');
    expect((await collector.read('first-use', `cursor=${latestCursor}`)).events).toEqual([]);
    const all = await collector.read('first-use', `cursor=${earliestCursor}&wait=10`);
    expect(all.events).toHaveLength(1);
  });

  test('G7 backfill: history sent into a stream whose delay covers it is read in event-time order once the delay is lowered', async () => {
    const tenYearsMs = 10 * 366 * 86_400_000;
    const made = await put('history', { watermarkDelayMs: tenYearsMs });
    expect(micros(made.effectiveFrom)).toBeLessThan(micros('2020-01-01T00:00:00Z'));
    const days = Array.from({ length: 300 }, (_, day) => new Date(Date.UTC(2020, 0, 1 + day)).toISOString());
    const shuffled = days.toSorted((a, b) => (hash(a) < hash(b) ? -1 : 1));
    const sent = shuffled.map((day) => ({ id: day, stream: 'history', name: 'day', occurredAt: day }));
    await collector.post(sent, { clock: { offsetMs: 0, rttMs: 0 } });
    expect((await collector.read('history')).events).toEqual([]);

    await put('history', { watermarkDelayMs: 1_000 });
    const events = [...(await collector.read('history', 'limit=100&wait=10')).events];
    expect(events).toHaveLength(100);
    events.splice(0, events.length, ...(await collector.readAll('history', 'limit=77')));
    expect(events.map((event) => event.id)).toEqual(days);
    expect(events.every((event) => event.eventTime === event.orderTime && !event.late)).toBe(true);
  });

  test('a stream that was read up to now takes older history as late, and says from when on it does not', async () => {
    const { effectiveFrom } = await put('too-late', { watermarkDelayMs: 0 });
    const raised = await put('too-late', { watermarkDelayMs: 86_400_000 });
    expect(micros(raised.effectiveFrom)).toBeGreaterThanOrEqual(micros(effectiveFrom));
    await collector.post([{ stream: 'too-late', name: 'old', occurredAt: '2020-01-01T00:00:00Z' }]);
    await put('too-late', { watermarkDelayMs: 0 });
    const [event] = (await collector.read('too-late', 'wait=10')).events;
    expect(event).toMatchObject({ name: 'old', late: true });
    expect(micros(event?.orderTime)).toBeGreaterThanOrEqual(micros(raised.effectiveFrom));
  });

  test('the list has them all, by name', async () => {
    const reply = await collector.request('/v1/streams', { key: readKey });
    const { streams, nextCursor } = (await reply.json()) as { streams: StreamAnswer[]; nextCursor: null };
    expect(streams.map((stream) => stream.stream)).toEqual(['first-use', 'history', 'settings', 'too-late']);
    expect(nextCursor).toBeNull();
  });

  test('G5 at the limit of streams an event of a new one is rejected, its neighbours are stored, and PUT is refused', async () => {
    for (const stream of ['s5', 's6', 's7', 's8']) await put(stream, {});
    const answer = await collector.post([
      { id: 'no', stream: 'one-too-many', name: 'x' },
      { id: 'yes', stream: 's5', name: 'x' },
    ]);
    expect(answer).toMatchObject({
      accepted: 1,
      rejected: 1,
      results: [{ index: 0, id: 'no', status: 'rejected', code: 'too_many_streams' }],
    });
    expect(await put('one-too-many', {}, 422)).toMatchObject({ code: 'too_many_streams' });
  });
});

describe('settings that are refused', () => {
  test.each([
    [{ watermarkDelayMs: -1 }, 'invalid_parameter'],
    [{ watermarkDelayMs: 1.5 }, 'invalid_parameter'],
    [{ watermarkDelayMs: '5' }, 'invalid_parameter'],
    [{ watermarkDelayMs: 300 * 366 * 86_400_000 }, 'invalid_parameter'],
    [{ watermarkDelay: 5 }, 'invalid_parameter'],
    [{ watermarkDelayMs: null }, 'invalid_parameter'],
    [{ retentionDays: 0 }, 'invalid_parameter'],
    [{ retentionDays: 0.5 }, 'invalid_parameter'],
    [{ retentionDays: '30' }, 'invalid_parameter'],
    [{ retentionDays: 100_000 }, 'invalid_parameter'],
    [{ dedupeDays: 0 }, 'invalid_parameter'],
    [{ dedupeDays: null }, 'invalid_parameter'],
    [{ dedupeDays: 1e9 }, 'invalid_parameter'],
    ['{', 'malformed'],
  ])('%j is %s', async (settings, code) => {
    const reply = await collector.request('/v1/streams/settings', { method: 'PUT', body: settings });
    expect(reply.status).toBe(400);
    expect(await reply.json()).toMatchObject({ code });
  });

  test('a name that a stream cannot have is refused', async () => {
    expect(await put('with%20space', {}, 400)).toMatchObject({ code: 'invalid_parameter' });
  });

  test('G12 only the admin key may change a stream', async () => {
    for (const key of [readKey, writeKey]) {
      const reply = await collector.request('/v1/streams/settings', { method: 'PUT', key, body: {} });
      expect(reply.status).toBe(403);
    }
  });
});

/** Some order that has nothing to do with time. */
function hash(text: string): number {
  let value = 7;
  for (const character of text) value = Math.imul(value ^ character.charCodeAt(0), 0x01000193);
  return value >>> 0;
}
