import { defaultLimits, parseTime } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readKey, startTestCollector, type TestCollector, writeKey } from '../harness/collector.ts';

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector();
  // Streams without a delay: what is posted can be read at once.
  for (const stream of ['plain', 'limits', 'again', 'time', 'exact']) await createStream(stream);
});

afterAll(() => collector.stop());

async function createStream(stream: string): Promise<void> {
  const made = await collector.request(`/v1/streams/${stream}`, {
    method: 'PUT',
    body: { watermarkDelayMs: 0 },
  });
  expect(made.status).toBe(200);
}

const send = (body: string | object | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
  collector.request('/v1/events', { key: writeKey, body, headers });

const read = async (stream: string) => (await collector.read(stream, 'wait=10')).events;

describe('a batch', () => {
  test('G1 is answered with what became of it, and can be read back', async () => {
    const occurredAt = new Date().toISOString();
    const reply = await send({
      sentAt: new Date().toISOString(),
      events: [
        { id: 'a', stream: 'plain', name: 'order.placed', occurredAt, key: 'user-1', props: { total: 12.5 } },
        { id: 'b', stream: 'plain', name: 'order.paid' },
      ],
    });
    expect(reply.status).toBe(200);
    const answer = (await reply.json()) as Record<string, unknown>;
    expect(answer).toEqual({
      receivedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      respondedAt: expect.any(String),
      durability: 'committed',
      accepted: 2,
      duplicates: 0,
      rejected: 0,
      results: [],
    });
    const [first, second] = await read('plain');
    expect(first).toMatchObject({
      id: 'a',
      stream: 'plain',
      name: 'order.placed',
      key: 'user-1',
      props: { total: 12.5 },
      timeQuality: 'ok',
    });
    expect(parseTime(first?.occurredAt ?? '')).toBe(parseTime(occurredAt));
    expect(second).toMatchObject({
      id: 'b',
      occurredAt: null,
      key: null,
      props: null,
      timeQuality: 'unparsable',
    });
    expect(second?.receivedAt).toBe(answer['receivedAt']);
  });

  test('an event without an id gets one, and the answer names it', async () => {
    const answer = await collector.post([{ name: 'anonymous' }]);
    expect(answer.results).toEqual([
      {
        index: 0,
        id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
        status: 'accepted',
        code: 'id_generated',
      },
    ]);
    expect(answer.accepted).toBe(1);
  });

  test('G2 sent again, to any collector, in one batch or at the same time, is stored once, and the first copy wins', async () => {
    const other = await startTestCollector({}, collector.databaseUrl);
    try {
      const batch = Array.from({ length: 50 }, (_, index) => ({
        id: `again-${index}`,
        stream: 'again',
        name: 'first',
      }));
      expect(await collector.post([...batch, batch[7] ?? {}])).toMatchObject({
        accepted: 50,
        duplicates: 1,
        results: [{ index: 50, id: 'again-7', status: 'duplicate' }],
      });
      const later = batch.map((event) => ({ ...event, name: 'second' }));
      const answers = await Promise.all([
        other.post(later),
        collector.post(later),
        other.post(later.toReversed()),
      ]);
      for (const answer of answers)
        expect(answer).toMatchObject({ accepted: 0, duplicates: 50, rejected: 0 });
      const events = await other.read('again', 'wait=10');
      expect(events.events.map((event) => event.name)).toEqual(batch.map(() => 'first'));
    } finally {
      await other.stop();
    }
  });

  test('one bad event never fails its batch', async () => {
    const answer = await collector.post([
      { id: 'good-1', stream: 'limits', name: 'fine' },
      { id: 'x'.repeat(129), stream: 'limits', name: 'id too long' },
      { id: 'no-name', stream: 'limits' },
      { id: 'bad-stream', stream: 'no spaces', name: 'x' },
      { id: 'bad-props', stream: 'limits', name: 'x', props: [1] },
      { id: 'nul', stream: 'limits', name: 'x', props: { text: 'a\0b' } },
      { id: 'large', stream: 'limits', name: 'x', props: { text: 'é'.repeat(defaultLimits.eventBytes / 2) } },
      'not an object',
      {
        id: 'good-2',
        stream: 'limits',
        name: 'fine',
        props: { __proto__: { polluted: true }, constructor: 1 },
      },
    ]);
    expect(answer).toMatchObject({ accepted: 2, duplicates: 0, rejected: 7 });
    expect(answer.results.map((result) => [result.index, result.status, result.code])).toEqual([
      [1, 'rejected', 'invalid_id'],
      [2, 'rejected', 'invalid_name'],
      [3, 'rejected', 'invalid_stream'],
      [4, 'rejected', 'invalid_props'],
      [5, 'rejected', 'unstorable_text'],
      [6, 'rejected', 'event_too_large'],
      [7, 'rejected', 'invalid_event'],
    ]);
    expect((await read('limits')).map((event) => event.id).sort()).toEqual(['good-1', 'good-2']);
  });

  test('numbers, unicode and nesting of props survive exactly', async () => {
    const props =
      '{"big":12345678901234567890123,"tiny":1e-400,"exact":0.10,"text":"\\u00e9 事件 🌊 \\"","deep":[[{"a":[null,true]}]]}';
    const reply = await send(`{"events":[{"id":"exact","stream":"exact","name":"x","props":${props}}]}`);
    expect(reply.status).toBe(200);
    const page = await collector.request('/v1/streams/exact/events?wait=10', { key: readKey });
    expect(await page.text()).toContain(`"props":${props},`);
  });

  test('an empty batch is fine', async () => {
    expect(await collector.post([])).toMatchObject({ accepted: 0, rejected: 0, results: [] });
  });

  test('wrong-typed envelope fields are ignored', async () => {
    expect(await collector.post([{ name: 'x' }], { sentAt: 17, clock: 'late' })).toMatchObject({
      accepted: 1,
    });
  });
});

describe('a body that is refused', () => {
  const cases: readonly (readonly [
    string,
    string | object | Uint8Array<ArrayBuffer>,
    Record<string, string>,
    number,
    string,
  ])[] = [
    ['broken JSON', '{"events":[', {}, 400, 'malformed'],
    ['not an object', '[]', {}, 400, 'malformed'],
    ['no events', '{"sentAt":"2026-01-01T00:00:00Z"}', {}, 400, 'malformed'],
    ['events that are no array', '{"events":{}}', {}, 400, 'malformed'],
    ['an empty body', '', {}, 400, 'malformed'],
    ['invalid UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), {}, 400, 'malformed'],
    [
      'too many events',
      { events: Array.from({ length: 1_001 }, () => ({ name: 'x' })) },
      {},
      413,
      'batch_too_large',
    ],
    [
      'too many bytes',
      `{"events":[],"pad":"${'x'.repeat(defaultLimits.bodyBytes)}"}`,
      {},
      413,
      'body_too_large',
    ],
    ['another media type', '<events/>', { 'content-type': 'application/xml' }, 415, 'unsupported_media_type'],
    ['an unknown encoding', '{"events":[]}', { 'content-encoding': 'snappy' }, 415, 'unsupported_media_type'],
  ];

  test.each(cases)(
    'G3 %s: a clear problem, and nothing is stored',
    async (_title, body, headers, status, code) => {
      const reply = await send(body, headers);
      expect(reply.status).toBe(status);
      expect(reply.headers.get('content-type')).toBe('application/problem+json');
      expect(await reply.json()).toMatchObject({
        status,
        code,
        title: expect.any(String),
        detail: expect.any(String),
      });
    },
  );

  test('a 413 says the limit and what was sent', async () => {
    const reply = await send({ events: Array.from({ length: 1_001 }, () => ({ name: 'x' })) });
    expect(await reply.json()).toMatchObject({ code: 'batch_too_large', limit: 1_000, actual: 1_001 });
  });
});

describe('time', () => {
  const now = () => Date.now();
  const at = (ms: number) => new Date(ms).toISOString();
  const micros = (text: string | null | undefined) => parseTime(text ?? '') ?? 0n;

  async function stored(id: string, envelope: object, occurredAt?: string) {
    const { nextCursor } = await collector.read('time', 'from=latest');
    const answer = await collector.post([{ id, stream: 'time', name: 'x', occurredAt }], envelope);
    expect(answer.accepted).toBe(1);
    const [event] = (await collector.read('time', `cursor=${nextCursor}&wait=10`)).events;
    if (event?.id !== id) throw new Error(`${id} did not come`);
    return event;
  }

  test("an event time is corrected by the client's own measurement", async () => {
    const occurred = at(now() - 3_600_000);
    const event = await stored(
      'measured',
      { sentAt: at(now() - 3_595_000), clock: { offsetMs: 3_590_000, rttMs: 40 } },
      occurred,
    );
    expect(event.timeQuality).toBe('offset');
    expect(micros(event.eventTime) - micros(occurred)).toBe(3_590_000_000n);
    expect(event.late).toBe(true);
    expect(event.lateByMs).toBeGreaterThan(9_000);
  });

  test('without one, all but the first minute between sentAt and receivedAt is taken for skew', async () => {
    const sentAt = at(now() - 600_000);
    const event = await stored('guessed', { sentAt }, sentAt);
    expect(event.timeQuality).toBe('soft');
    expect(micros(event.eventTime)).toBe(micros(event.receivedAt) - 60_000_000n);
  });

  test('an event from the future is placed at its arrival', async () => {
    const event = await stored('future', { sentAt: at(now()) }, at(now() + 3_600_000));
    expect(event.timeQuality).toBe('future');
    expect(micros(event.orderTime)).toBeLessThan(micros(event.eventTime));
    expect(event.late).toBe(false);
  });

  test('an event is never rejected for its clock', async () => {
    expect((await stored('never', {}, 'yesterday, about noon')).timeQuality).toBe('unparsable');
    expect((await stored('stone-age', {}, '0001-01-01T00:00:00Z')).timeQuality).toBe('implausible');
    expect((await stored('unsent', {}, at(now()))).timeQuality).toBe('noSentAt');
  });
});
