import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { earliestMicros } from '@tidemark/core/wire';
import { decodeCursor } from '../../../collector/src/read/cursor.ts';
import {
  createReader,
  type EventPage,
  type PageRefusal,
  type PageRequest,
  type Start,
} from '../../../collector/src/read/page.ts';
import { stretches } from '../../../collector/src/store/partitions.ts';
import {
  type EventRow,
  type Piece,
  type PieceRequest,
  type Position,
  type StreamHead,
  sizeOf,
} from '../../../collector/src/store/page.ts';
import { runs } from '../../harness/seed.ts';

const day = 86_400_000_000n;

function event(orderTime: bigint, seq: bigint, bytes = 10): EventRow {
  return {
    orderTime,
    seq,
    bytes,
    eventTime: orderTime,
    receivedAt: orderTime,
    occurredAt: null,
    sentAt: null,
    timeQuality: 6,
    id: `${orderTime}/${seq}`,
    name: 'thing.happened',
    key: null,
    props: null,
    more: null,
  };
}

const newHead: StreamHead = {
  identity: 77n,
  epoch: 1,
  epochStart: earliestMicros,
  retainedMark: earliestMicros,
  watermark: 1_000n * day,
};

const everything = {
  until: undefined,
  limit: 1_000,
  maxBytes: 1_048_576,
  filter: undefined,
  skipExpired: false,
};

/** Events that a filtered piece looks at, at most. */
const scannedMax = 5;

const wanted = { names: ['wanted'], key: undefined, shard: undefined };

/** A store in memory, told as its statement is: what `readPiece` promises, and no more. */
function createStore(events: readonly EventRow[], head: Partial<StreamHead> = {}) {
  let current = { ...newHead, ...head };
  const requests: PieceRequest[] = [];
  let beforePiece: (number: number) => void = () => undefined;
  let beforeScanEnd: () => void = () => undefined;
  const reader = createReader({
    readPiece: async (request) => {
      beforePiece(requests.length);
      requests.push(request);
      return request.streamId === 1 ? pieceOf(events, current, request) : undefined;
    },
    readScanEnd: async ({ after, until }) => {
      const looked = events.filter((one) => isAfter(one, after) && one.orderTime < until);
      beforeScanEnd();
      return { stopped: looked[scannedMax - 1], retainedMark: current.retainedMark };
    },
    stretches: (position, end) => stretches(position, 0n, end),
  });
  return {
    requests,
    /** Changes the stream from the piece with this number on. */
    change(number: number, change: Partial<StreamHead>) {
      beforePiece = (next) => {
        if (next === number) current = { ...current, ...change };
      };
    },
    /** Changes the stream between a filtered piece and the look at where it stopped. */
    changeOnce(change: Partial<StreamHead>) {
      beforeScanEnd = () => {
        current = { ...current, ...change };
        beforeScanEnd = () => undefined;
      };
    },
    page: (start: Start, options: Partial<PageRequest> = {}) =>
      reader.page({ streamId: 1, start, ...everything, ...options }),
  };
}

function pieceOf(events: readonly EventRow[], head: StreamHead, request: PieceRequest): Piece {
  const found: EventRow[] = [];
  let bytes = 0;
  let looked = 0;
  for (const one of events) {
    if (!isAfter(one, request.after) || one.orderTime < head.retainedMark) continue;
    if (one.orderTime >= request.until || one.orderTime >= head.watermark) continue;
    if (request.filter !== undefined && looked++ === scannedMax) break;
    if (request.filter?.names?.includes(one.name) === false) continue;
    if (found.length === request.limit || bytes >= request.maxBytes) break;
    found.push(one);
    bytes += sizeOf(one);
  }
  return { head, events: found };
}

function isAfter(a: Position, b: Position): boolean {
  return a.orderTime > b.orderTime || (a.orderTime === b.orderTime && a.seq > b.seq);
}

function given(page: EventPage | PageRefusal): EventPage {
  if ('refused' in page) throw new Error(`refused: ${page.refused}`);
  return page;
}

const from = (position: Position, change: { identity?: bigint; epoch?: number } = {}): Start => ({
  at: 'cursor',
  cursor: { identity: 77n, epoch: 1, position, ...change },
});
const place = (orderTime: bigint, seq = 0n): Position => ({ orderTime, seq });
const ids = (page: EventPage): readonly string[] => page.events.map(({ id }) => id);

describe('a page', () => {
  test('G6 after page gives every event once and in order, whatever the page sizes, byte limits and gaps between events', async () => {
    const gap = fc.oneof(fc.constant(0n), fc.bigInt(1n, 3n), fc.bigInt(1n, 90n * day));
    const scenario = fc.record({
      gaps: fc.array(fc.tuple(gap, fc.integer({ min: 2, max: 2_000 })), { maxLength: 60 }),
      first: fc.bigInt(-40n * day, 40n * day),
      sizes: fc.array(
        fc.record({ limit: fc.integer({ min: 1, max: 12 }), maxBytes: fc.integer({ min: 1, max: 9_000 }) }),
        { minLength: 1 },
      ),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ gaps, first, sizes }) => {
        let orderTime = first;
        const events = gaps.map(([gap, bytes], index) => {
          orderTime += gap;
          return event(orderTime, BigInt(index + 1), bytes);
        });
        const store = createStore(events, { watermark: orderTime + 1n });
        const seen: string[] = [];
        let start: Start = { at: 'earliest' };
        for (let turn = 0; ; turn++) {
          const { limit, maxBytes } = sizes[turn % sizes.length] ?? { limit: 1, maxBytes: 1 };
          const page = given(await store.page(start, { limit, maxBytes }));
          expect(page.events.length).toBeLessThanOrEqual(limit);
          const bytes = page.events.reduce((sum, one) => sum + sizeOf(one), 0);
          if (page.events.length > 1) expect(bytes).toBeLessThanOrEqual(maxBytes);
          seen.push(...ids(page));
          if (!page.hasMore) {
            expect(page.next).toEqual(place(orderTime + 1n));
            break;
          }
          expect(turn).toBeLessThan(events.length * 2 + 10);
          start = from(page.next);
        }
        expect(seen).toEqual(events.map(({ id }) => id));
      }),
      runs(300),
    );
  });

  test('of a stream read near its end takes one piece, which ends a few days on', async () => {
    const store = createStore([event(500n * day, 1n), event(501n * day, 2n)], { watermark: 501n * day + 1n });
    expect(ids(given(await store.page(from(place(500n * day)))))).toHaveLength(2);
    expect(store.requests).toHaveLength(1);
    expect(store.requests[0]?.until).toBe(503n * day);
  });

  test('from far back widens its stretches, never looks twice at a time, and never beyond the watermark of its first piece', async () => {
    const store = createStore([event(900n * day, 1n)], { watermark: 901n * day });
    store.change(1, { watermark: 950n * day });
    const page = given(await store.page(from(place(1n))));
    expect(ids(page)).toEqual([`${900n * day}/1`]);
    expect(page.next).toEqual(place(901n * day));
    expect(page.head.watermark).toBe(901n * day);
    const [firstRequest, ...others] = store.requests;
    expect(firstRequest?.after.orderTime).toBe(1n);
    let before = firstRequest?.until;
    for (const { after, until } of others) {
      expect(after.orderTime).toBe(before);
      before = until;
    }
    expect(before).toBe(901n * day);
  });

  test('that is full at the end of a stretch does not look further', async () => {
    const store = createStore([event(1n, 1n), event(2n, 2n), event(800n * day, 3n)], {
      watermark: 801n * day,
    });
    const page = given(await store.page(from(place(0n)), { limit: 2 }));
    expect([page.events.length, page.hasMore, store.requests.length]).toEqual([2, true, 1]);
    expect(ids(given(await store.page(from(page.next))))).toEqual([`${800n * day}/3`]);
  });

  test('from the earliest event begins at the retained mark, not at the beginning of time', async () => {
    const store = createStore([event(5n * day, 1n), event(700n * day, 2n)], {
      retainedMark: 699n * day,
      watermark: 701n * day,
    });
    const page = given(await store.page({ at: 'earliest' }));
    expect(ids(page)).toEqual([`${700n * day}/2`]);
    expect(store.requests).toHaveLength(2);
    expect(store.requests[0]?.until).toBe(earliestMicros);
    expect(store.requests[1]?.after).toEqual(place(699n * day));
  });

  test('from the latest is empty and stands at the watermark', async () => {
    const store = createStore([event(5n * day, 1n)], { watermark: 9n * day });
    expect(given(await store.page({ at: 'latest' }))).toMatchObject({
      events: [],
      next: place(9n * day),
      hasMore: false,
    });
    expect(store.requests).toHaveLength(1);
  });

  test.each<[string, { start: Start; until?: bigint; next: Position }]>([
    ['an empty page moves on to the watermark', { start: from(place(5n, 9n)), next: place(100n) }],
    ['or to its end, where that is first', { start: from(place(5n, 9n)), until: 50n, next: place(50n) }],
    [
      'a cursor above the watermark is answered with itself',
      { start: from(place(101n, 3n)), next: place(101n, 3n) },
    ],
    ['so is one at the watermark', { start: from(place(100n, 3n)), next: place(100n, 3n) }],
    ['so is one above its end', { start: from(place(60n, 3n)), until: 50n, next: place(60n, 3n) }],
    [
      'a time above the watermark is its own place',
      { start: { at: 'time', orderTime: 500n }, next: place(500n) },
    ],
  ])('%s', async (_title, { start, until, next }) => {
    const store = createStore([event(4n, 1n), event(200n, 2n)], { watermark: 100n });
    const page = given(await store.page(start, { until }));
    expect([ids(page), page.next, page.hasMore]).toEqual([[], next, false]);
  });

  test('a position in time is inclusive, its end exclusive', async () => {
    const store = createStore([event(9n, 1n), event(10n, 2n), event(11n, 3n), event(12n, 4n)]);
    expect(ids(given(await store.page({ at: 'time', orderTime: 10n }, { until: 12n })))).toEqual([
      '10/2',
      '11/3',
    ]);
  });

  test('always has an event where there is one, however small the byte limit', async () => {
    const store = createStore([event(1n, 1n, 5_000_000), event(2n, 2n)]);
    const page = given(await store.page({ at: 'earliest' }, { maxBytes: 1 }));
    expect([ids(page), page.hasMore]).toEqual([['1/1'], true]);
  });

  test('with exactly as many events as there are says that there are no more', async () => {
    const store = createStore([event(1n, 1n), event(2n, 2n)], { watermark: 3n });
    expect(given(await store.page({ at: 'earliest' }, { limit: 2 })).hasMore).toBe(false);
    expect(given(await store.page({ at: 'earliest' }, { limit: 1 })).hasMore).toBe(true);
  });
});

describe('a page is refused', () => {
  const events = [event(1n, 1n), event(50n, 2n), event(60n, 3n)];

  test('where there is no such stream', async () => {
    const store = createStore(events);
    for (const start of [
      { at: 'earliest' },
      { at: 'latest' },
      { at: 'time', orderTime: 0n },
      from(place(0n)),
    ] as const) {
      expect(await store.page(start, { streamId: 2 })).toEqual({ refused: 'stream_not_found' });
    }
  });

  test('with a cursor of another stream or of an epoch that is still to come', async () => {
    const store = createStore(events, { epoch: 3, epochStart: 40n });
    expect(await store.page(from(place(9n), { identity: 78n, epoch: 3 }))).toEqual({
      refused: 'invalid_cursor',
    });
    expect(await store.page(from(place(9n), { epoch: 4 }))).toEqual({
      refused: 'invalid_cursor',
    });
  });

  test.each<[string, { position: Position; resume: Position }]>([
    ['the place where the epochs part', { position: place(55n, 2n), resume: place(40n) }],
    ['its own place, where that is before', { position: place(39n, 2n), resume: place(39n, 2n) }],
    ['the very start of the epoch', { position: place(40n, 2n), resume: place(40n) }],
  ])('with a cursor of an earlier epoch, which goes on at %s', async (_title, { position, resume }) => {
    const store = createStore(events, { epoch: 3, epochStart: 40n });
    const refusal = await store.page(from(position, { epoch: 2 }));
    if (!('refused' in refusal) || refusal.refused !== 'epoch_changed') throw new Error('not refused');
    expect(decodeCursor(refusal.resumeCursor)).toEqual({ identity: 77n, epoch: 3, position: resume });
  });

  test.each<[string, Start]>([
    ['cursor', from(place(49n, 9n))],
    ['time', { at: 'time', orderTime: 49n }],
  ])('with a %s below what is retained, which goes on at the earliest that is', async (_title, start) => {
    const store = createStore(events, { retainedMark: 50n });
    const refusal = await store.page(start);
    if (!('refused' in refusal) || refusal.refused !== 'cursor_expired') throw new Error('not refused');
    const cursor = decodeCursor(refusal.earliestCursor);
    if (cursor === undefined) throw new Error('not a cursor');
    expect(ids(given(await store.page({ at: 'cursor', cursor })))).toEqual(['50/2', '60/3']);
  });
});

describe('while a page is read in pieces', () => {
  const events = [event(1n, 1n), event(20n * day, 2n), event(400n * day, 3n)];

  test('G4 retention that passes its place ends it there, so that what is gone is not passed over in silence', async () => {
    const store = createStore(events, { watermark: 500n * day });
    store.change(1, { retainedMark: 30n * day });
    const page = given(await store.page(from(place(0n))));
    expect([ids(page), page.hasMore]).toEqual([['1/1'], true]);
    expect(await store.page(from(page.next))).toMatchObject({ refused: 'cursor_expired' });
  });

  test('retention that stays behind its place does not disturb it', async () => {
    const store = createStore(events, { watermark: 500n * day });
    store.change(1, { retainedMark: 2n });
    expect(ids(given(await store.page(from(place(0n)))))).toHaveLength(3);
  });

  test.each<[string, Partial<StreamHead>, object]>([
    ['retention', { retainedMark: 30n * day }, { refused: 'cursor_expired' }],
    ['a new epoch', { epoch: 2, epochStart: 30n * day }, { refused: 'epoch_changed' }],
  ])(
    '%s before its first event is answered as if it had come before the page',
    async (_title, change, outcome) => {
      const store = createStore(events, { watermark: 500n * day });
      store.change(1, change);
      expect(await store.page(from(place(2n)))).toMatchObject(outcome);
    },
  );

  test('from the earliest event on, retention before the first event only moves where it begins', async () => {
    const store = createStore(events, { watermark: 500n * day });
    store.change(1, { retainedMark: 30n * day });
    expect(ids(given(await store.page({ at: 'earliest' })))).toEqual([`${400n * day}/3`]);
  });

  test('a new epoch ends it, and its cursor is of the epoch before', async () => {
    const store = createStore(events, { watermark: 500n * day });
    store.change(1, { epoch: 2, epochStart: 30n * day });
    const page = given(await store.page(from(place(0n))));
    expect([ids(page), page.hasMore, page.head.epoch]).toEqual([['1/1'], true, 1]);
    expect(await store.page(from(page.next))).toMatchObject({ refused: 'epoch_changed' });
  });

  test('a stream that is deleted is not found', async () => {
    let pieces = 0;
    const reader = createReader({
      readPiece: async (request) => {
        pieces += 1;
        return pieces === 1 ? pieceOf(events, { ...newHead, watermark: 500n * day }, request) : undefined;
      },
      readScanEnd: async () => ({ stopped: undefined, retainedMark: earliestMicros }),
      stretches: (position, end) => stretches(position, 0n, end),
    });
    const request = { streamId: 1, ...everything };
    expect(await reader.page({ ...request, start: from(place(0n)) })).toEqual({
      refused: 'stream_not_found',
    });
  });
});

describe('a filtered page', () => {
  test('G6 after page gives every event that is wanted once and in order, however few there are, and looks at no more than it may', async () => {
    const scenario = fc.record({
      events: fc.array(fc.tuple(fc.bigInt(0n, 40n * day), fc.boolean()), { maxLength: 60 }),
      limit: fc.integer({ min: 1, max: 8 }),
      maxBytes: fc.integer({ min: 1, max: 3_000 }),
    });
    const check = async ({
      events,
      limit,
      maxBytes,
    }: {
      events: [bigint, boolean][];
      limit: number;
      maxBytes: number;
    }) => {
      const all = events
        .map(([orderTime, isWanted], at) => ({
          ...event(orderTime, BigInt(at + 1)),
          name: isWanted ? 'wanted' : 'other',
        }))
        .toSorted((a, b) => (isAfter(a, b) ? 1 : -1));
      const store = createStore(all);
      const seen: string[] = [];
      let page = given(await store.page({ at: 'earliest' }, { limit, maxBytes, filter: wanted }));
      for (let pages = 0; ; pages++) {
        expect(pages).toBeLessThan(200);
        seen.push(...ids(page));
        if (!page.hasMore) break;
        const before = page.next;
        page = given(await store.page(from(page.next), { limit, maxBytes, filter: wanted }));
        expect(isAfter(page.next, before)).toBe(true);
      }
      expect(seen).toEqual(all.filter(({ name }) => name === 'wanted').map(({ id }) => id));
      expect(page.next.orderTime).toBe(newHead.watermark);
    };
    await fc.assert(fc.asyncProperty(scenario, check), runs(200));
  });

  test('is empty with more to come where it has looked at as many events as it may', async () => {
    const others = Array.from({ length: 12 }, (_, at) => event(1n, BigInt(at + 1)));
    const store = createStore(others);
    const page = given(await store.page(from(place(0n)), { filter: wanted }));
    expect([ids(page), page.hasMore, page.next]).toEqual([[], true, place(1n, 5n)]);
  });
});

test('G6 a filtered page that retention overtook between its two looks counts for nothing', async () => {
  const store = createStore([{ ...event(20n * day, 1n), name: 'wanted' }]);
  store.changeOnce({ retainedMark: 10n * day });
  expect(await store.page(from(place(day)), { filter: wanted })).toMatchObject({ refused: 'cursor_expired' });
  store.changeOnce({ retainedMark: 12n * day });
  const page = given(await store.page(from(place(11n * day)), { filter: wanted, skipExpired: true }));
  expect(ids(page)).toEqual([`${20n * day}/1`]);
  expect(page.gap).toEqual({ from: 11n * day, to: 12n * day });
});

describe('an expired cursor', () => {
  const kept = { retainedMark: 10n * day };

  test('is refused with the earliest, or begins there and says what is missing', async () => {
    const store = createStore([event(9n * day, 1n), event(11n * day, 2n)], kept);
    expect(await store.page(from(place(day)))).toMatchObject({ refused: 'cursor_expired' });
    const page = given(await store.page(from(place(day)), { skipExpired: true }));
    expect(ids(page)).toEqual([`${11n * day}/2`]);
    expect(page.gap).toEqual({ from: day, to: 10n * day });
  });

  test('of an older epoch is still refused', async () => {
    const store = createStore([], { ...kept, epoch: 2, epochStart: 20n * day });
    expect(await store.page(from(place(day)), { skipExpired: true })).toMatchObject({
      refused: 'epoch_changed',
    });
  });
});

describe('stretches', () => {
  test('begin with the present day and two more, grow eightfold, and end with the end', () => {
    expect([...stretches(10n * day + 5n, 0n, 10_000n * day)].map((end) => end / day)).toEqual([
      13n,
      27n,
      139n,
      10_000n,
    ]);
  });

  test('count from the first daily partition for everything before it', () => {
    for (const position of [earliestMicros, -5n, 0n, 99n * day]) {
      expect([...stretches(position, 100n * day, 10_000n * day)].map((end) => end / day)).toEqual([
        102n,
        116n,
        228n,
        10_000n,
      ]);
    }
  });

  test('end at the end where that is near, and are one where it is passed already', () => {
    expect([...stretches(10n * day, 0n, 12n * day)]).toEqual([12n * day]);
    expect([...stretches(10n * day, 0n, 20n * day)]).toEqual([13n * day, 20n * day]);
    expect([...stretches(10n * day, 0n, 3n)]).toEqual([3n]);
  });
});
