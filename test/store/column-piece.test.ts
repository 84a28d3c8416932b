// Lines are made of columns, and must be what the plain renderer makes of rows, to the byte: a reader may change from one form to the other.

import { earliestMicros, latestMicros } from '@tidemark/core/wire';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createReader, type PageRequest } from '../../collector/src/read/page.ts';
import { renderEvent, renderPageEnd } from '../../collector/src/read/render.ts';
import { renderColumnLines, renderColumnPage } from '../../collector/src/read/render-events.ts';
import { readColumnPiece } from '../../collector/src/store/columns.ts';
import { readSettings, type Sql } from '../../collector/src/store/database.ts';
import { readPiece, readScanEnd } from '../../collector/src/store/page.ts';
import { stretches } from '../../collector/src/store/partitions.ts';
import { runs } from '../harness/seed.ts';
import { createStoreCase, type StoreCase } from '../harness/store-case.ts';

const stream = 'lines';

let store: StoreCase;
let read: Sql;
let today: bigint;

beforeAll(async () => {
  store = await createStoreCase();
  read = store.connect(1, readSettings);
  const [row] = await store.sql<[{ today: bigint }]>`
    select first_day::bigint * 86400000000 as today from tidemark.installation`;
  ({ today } = row);
});

afterAll(() => store.close());

const text = (maxLength: number) =>
  fc.string({ unit: 'binary', maxLength }).map((one) => one.replaceAll('\0', '"'));
const time = fc.oneof(
  fc.bigInt({ min: 0n, max: 4n * 10n ** 15n }),
  fc.bigInt({ min: earliestMicros, max: latestMicros }),
  fc.constantFrom(earliestMicros, latestMicros, -1n, 0n, 999_999n, 2n ** 32n, 2n ** 32n - 1n),
);
const props = fc.oneof(
  fc
    .tuple(fc.jsonValue(), fc.constantFrom('', '\n', '\r\n', '\t'))
    .map(([value, indent]) => JSON.stringify(value, null, indent)),
  fc.constantFrom(
    'null',
    '{"a":12345678901234567890.10,\r\n "b":"\\u001f\\n"}',
    '{"__proto__":1,"a":1,"a":2}',
  ),
);
/** Around the border of the first partition. */
const orderTime = () => fc.bigInt({ min: today - 50n, max: today + 50n });

const row = () =>
  fc.record({
    orderTime: orderTime(),
    eventTime: time,
    receivedAt: time,
    occurredAt: fc.option(time),
    sentAt: fc.option(time),
    timeQuality: fc.integer({ min: 0, max: 6 }),
    bytes: fc.integer({ min: 1, max: 70_000 }),
    id: text(20),
    name: fc.oneof(text(20), fc.constantFrom('a', 'b')),
    key: fc.option(fc.oneof(text(20), fc.constantFrom('k', ''))),
    props: fc.option(props),
    erased: fc.boolean(),
    ip: fc.option(fc.constantFrom('203.0.113.9', '2001:db8::1')),
    userAgent: fc.option(text(20)),
  });

const request = () =>
  fc.record({
    limit: fc.integer({ min: 1, max: 12 }),
    maxBytes: fc.oneof(fc.integer({ min: 1, max: 200_000 }), fc.constant(1_048_576)),
    after: orderTime(),
    until: fc.option(orderTime(), { nil: undefined }),
    filter: fc.option(
      fc.record({
        names: fc.option(fc.constant(['a', 'b']), { nil: undefined }),
        key: fc.option(fc.constant('k'), { nil: undefined }),
        shard: fc.option(fc.constant({ index: 1, count: 2 }), { nil: undefined }),
      }),
      { nil: undefined },
    ),
  });

describe('a page of columns', () => {
  test('is the page of rows, and its lines are the same to the byte', async () => {
    let streams = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(row(), { maxLength: 12 }),
        fc.array(request(), { minLength: 3, maxLength: 6 }),
        async (rows, requests) => {
          const streamId = await store.makeStream(`${stream}-${++streams}`, 0n);
          for (const one of rows) await insert(streamId, one);
          for (const { after, ...asked } of requests) {
            const page: PageRequest = {
              streamId,
              start: { at: 'time', orderTime: after },
              skipExpired: false,
              ...asked,
            };
            const [expected, found] = [await plain.page(page), await lines.page(page)];
            if ('refused' in expected || 'refused' in found) throw new Error('a page was refused');
            expect([found.next, found.hasMore]).toEqual([expected.next, expected.hasMore]);
            // Both under one head: the watermark moves meanwhile.
            const { head } = expected;
            const texts = expected.events.map((event) => `${renderEvent(stream, head, event)}\n`);
            expect(renderColumnLines(stream, { ...found, head }).toString()).toBe(texts.join(''));
            const listed = texts.map((line) => line.slice(0, -1)).join(',');
            expect(renderColumnPage(stream, { ...found, head }).toString()).toBe(
              `{"events":[${listed}],${renderPageEnd({ ...expected, head })}}`,
            );
          }
        },
      ),
      runs(25),
    );
  });

  test('of a stream that is not there is not there', async () => {
    const nowhere = { streamId: 999_999, after: { orderTime: 0n, seq: 0n }, until: today };
    const piece = await readColumnPiece(read, { ...nowhere, limit: 1, maxBytes: 1, filter: undefined });
    expect(piece).toBeUndefined();
  });
});

const shared = {
  readScanEnd: (range: Parameters<typeof readScanEnd>[1]) => readScanEnd(read, range),
  stretches: (position: bigint, end: bigint) => stretches(position, today, end),
};
const plain = createReader({ ...shared, readPiece: (asked) => readPiece(read, asked) });
const lines = createReader({ ...shared, readPiece: (asked) => readColumnPiece(read, asked) });

let seq = 0;

async function insert(
  streamId: number,
  one: ReturnType<typeof row> extends fc.Arbitrary<infer Row> ? Row : never,
): Promise<void> {
  seq += 1;
  await store.sql`
    insert into tidemark.events (stream_id, order_time, seq, event_time, received_at, occurred_at, sent_at, time_quality,
      bytes, id, name, key, props, erased, ip, user_agent)
    values (${streamId}, ${one.orderTime}, ${seq}, ${one.eventTime}, ${one.receivedAt}, ${one.occurredAt}, ${one.sentAt},
      ${one.timeQuality}, ${one.bytes}, ${one.id}, ${one.name}, ${one.key}, ${one.props}::text::json, ${one.erased},
      ${one.ip}::text::inet, ${one.userAgent})`;
}
