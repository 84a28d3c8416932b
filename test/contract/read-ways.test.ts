// One stream, read in every way there is: by pages of any size, as JSON, as lines or live, filtered or not, on two collectors and on one
// that was started later, changing from one to the other at every step.

import { type PageEnd, parseTime, type StoredEvent } from '@tidemark/core/wire';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { makeStream } from '../harness/filled-stream.ts';
import { createRandom, runs } from '../harness/seed.ts';

const eventsCount = 120;
const hourMs = 3_600_000;

let collectors: TestCollector[];
let stream: string;
/** Above all events. */
let until: string;
/** In stream order. */
let all: readonly StoredEvent[];

beforeAll(async () => {
  const first = await startTestCollector();
  collectors = [first, await startTestCollector({}, first.databaseUrl)];
  stream = await makeStream(first, hourMs);
  await fill(first);
  await first.request(`/v1/streams/${stream}`, { method: 'PUT', body: { watermarkDelayMs: 0 } });
  const posted = await first.post([{ stream: 'other', name: 'last' }]);
  until = posted.respondedAt;
  let page = await first.read(stream, `until=${until}`);
  while ((parseTime(page.watermark) ?? 0n) < (parseTime(until) ?? 0n))
    page = await first.read(stream, `from=latest&wait=1`);
  all = await first.readAll(stream, `until=${until}`);
  if (all.length !== eventsCount) throw new Error(`${all.length} events`);
  collectors.push(await startTestCollector({}, first.databaseUrl));
});

afterAll(async () => {
  const [first, ...others] = collectors;
  for (const other of others) await other.stop();
  await first?.stop();
});

/** Events of the last hour in no order at all, many of them with the same time. */
async function fill(collector: TestCollector): Promise<void> {
  const random = createRandom();
  const nowMs = Date.now();
  for (let from = 0; from < eventsCount; from += 30) {
    const events = Array.from({ length: 30 }, (_, index) => ({
      stream,
      id: `event-${from + index}`,
      name: random.oneOf(['placed', 'paid', 'sent']),
      ...(random.below(4) === 0 ? {} : { key: `user-${random.below(7)}` }),
      occurredAt: new Date(nowMs - 1_000 * (1 + random.below(40) * 60)).toISOString(),
      props: { filling: 'x'.repeat(random.below(2_000)) },
    }));
    const posted = await collector.post(events, { clock: { offsetMs: 0, rttMs: 0 } });
    expect(posted).toMatchObject({ accepted: 30, rejected: 0 });
  }
}

interface Filter {
  readonly query: string;
  readonly wants: (event: StoredEvent) => boolean;
}

const filters: readonly [Filter, ...Filter[]] = [
  { query: '', wants: () => true },
  { query: '&name=paid,sent', wants: ({ name }) => name !== 'placed' },
  { query: '&key=user-3', wants: ({ key }) => key === 'user-3' },
  { query: '&shard=1/3', wants: ({ key, id }) => firstBits(key ?? id) % 3 === 1 },
  {
    query: '&shard=0/2&name=sent',
    wants: ({ key, id, name }) => name === 'sent' && firstBits(key ?? id) % 2 === 0,
  },
];

const firstBits = (text: string): number => createHash('md5').update(text).digest().readUInt32BE(0);

interface Step {
  readonly way: 'json' | 'lines' | 'live';
  readonly collector: number;
  readonly limit: number;
  readonly maxBytes: number;
}

interface Answer extends Pick<PageEnd, 'nextCursor' | 'hasMore'> {
  readonly events: readonly StoredEvent[];
}

const step: fc.Arbitrary<Step> = fc.record({
  way: fc.constantFrom('json', 'lines', 'live'),
  collector: fc.nat({ max: 2 }),
  limit: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(1_000)),
  maxBytes: fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.constant(1_048_576)),
});

test('G6 whatever way it is read, and whatever the ways change, every event comes once, in stream order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...filters),
      fc.array(step, { minLength: 1, maxLength: 20 }),
      async ({ query, wants }, steps) => {
        const seen: StoredEvent[] = [];
        let start = 'from=earliest';
        for (let turn = 0, more = true; more; turn++) {
          expect(turn).toBeLessThanOrEqual(eventsCount);
          const { way, ...asked } = steps[turn % steps.length] ?? never();
          const answer = await ways[way](asked, `${start}${query}`);
          seen.push(...answer.events);
          more = answer.hasMore;
          start = `cursor=${answer.nextCursor}`;
        }
        expect(seen).toEqual(all.filter(wants));
      },
    ),
    runs(20),
  );
});

test('G6 the same cursor and the same parameters give the same answer on every collector, as JSON and as lines', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...filters),
      fc.nat({ max: eventsCount - 1 }),
      step,
      async ({ query }, at, asked) => {
        const start = `cursor=${all[at]?.cursor}${query}`;
        const expected = await readJson({ ...asked, collector: 0 }, start);
        for (const collector of [1, 2])
          expect(await readJson({ ...asked, collector }, start)).toEqual(expected);
        expect(await readLines(asked, start)).toEqual(expected);
      },
    ),
    runs(20),
  );
});

type Asked = Omit<Step, 'way'>;

const ways = { json: readJson, lines: readLines, live: readLive };

async function open(asked: Asked, query: string, accept: string): Promise<Response> {
  const { collector, limit, maxBytes } = asked;
  const path = `/v1/streams/${stream}/events?until=${until}&limit=${limit}&maxBytes=${maxBytes}&${query}`;
  const reply = await (collectors[collector] ?? never()).request(path, { headers: { accept } });
  if (reply.status !== 200) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  return reply;
}

async function readJson(asked: Asked, query: string): Promise<Answer> {
  const reply = await open(asked, query, 'application/json');
  const { events, nextCursor, hasMore } = (await reply.json()) as Answer;
  return { events, nextCursor, hasMore };
}

async function readLines(asked: Asked, query: string): Promise<Answer> {
  const reply = await open(asked, query, 'application/x-ndjson');
  const lines = (await reply.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as StoredEvent & Answer);
  const { nextCursor, hasMore } = lines.pop() ?? never();
  return { events: lines, nextCursor, hasMore };
}

/** Takes what comes until the first few events, and goes away. */
async function readLive(asked: Asked, query: string): Promise<Answer> {
  const reply = await open(asked, query, 'text/event-stream');
  const events: StoredEvent[] = [];
  let nextCursor = '';
  let hasMore = true;
  let messages = 0;
  const parser = createParser({
    onEvent({ event, id, data }) {
      if (messages === 2 || !hasMore) return;
      if (id !== undefined) nextCursor = id;
      if (event === 'bye') hasMore = false;
      if (event !== 'events') return;
      messages += 1;
      events.push(...(JSON.parse(data) as StoredEvent[]));
    },
  });
  const decoder = new TextDecoder();
  for await (const chunk of reply.body ?? never()) {
    parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
    if (messages === 2 || !hasMore) break;
  }
  return { events, nextCursor, hasMore };
}

function never(): never {
  throw new Error('there is no such thing');
}
