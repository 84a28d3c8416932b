import { earliestMicros } from '@tidemark/core/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeWindowCursor, encodeWindowCursor } from '../../../collector/src/read/window-cursor.ts';
import type { PageRefusal } from '../../../collector/src/read/page.ts';
import {
  createWindowReader,
  type WindowEntry,
  type WindowsPage,
  type WindowsRequest,
} from '../../../collector/src/read/windows.ts';
import type { StreamHead } from '../../../collector/src/store/page.ts';
import type { PaneRow, PanesRequest } from '../../../collector/src/store/windows.ts';
import { runs } from '../../harness/seed.ts';

interface StoredEvent {
  readonly orderTime: bigint;
  readonly eventTime: bigint;
  readonly group: string;
  readonly value: bigint;
}

const newHead: StreamHead = {
  identity: 77n,
  epoch: 1,
  epochStart: earliestMicros,
  retainedMark: earliestMicros,
  watermark: 1_000n,
};

const everything: WindowsRequest = {
  streamId: 1,
  start: { at: 'earliest' },
  sizeMicros: 10n,
  groupBy: 'name',
  sum: undefined,
  kind: 5,
  limit: 1_000,
};

const event = (orderTime: bigint, group = 'a', eventTime = orderTime): StoredEvent => ({
  orderTime,
  eventTime,
  group,
  value: orderTime,
});

function down(moment: bigint, size: bigint): bigint {
  const rest = moment % size;
  return rest < 0n ? moment - rest - size : moment - rest;
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** What the store answers, from a list of events in stream order. The work is written down. */
function createStore(events: readonly StoredEvent[], change: Partial<StreamHead> = {}) {
  const state = { head: { ...newHead, ...change }, events, asked: [] as PanesRequest[], readHeads: 0 };
  /** What happens between the first look at the stream and the second. */
  let between: (() => void) | undefined;

  const readPanes = async (request: PanesRequest): Promise<readonly PaneRow[]> => {
    state.asked.push(request);
    const { from, to, sizeMicros: size, skip, limit } = request;
    const panes = new Map<string, { row: PaneRow; sum: bigint }>();
    for (const { orderTime, eventTime, group, value } of state.events) {
      if (orderTime < from || orderTime >= to) continue;
      const window = down(orderTime, size);
      const paneWindow = down(least(eventTime, orderTime), size);
      const key = `${window} ${paneWindow} ${group}`;
      const found = panes.get(key);
      const sum = (found?.sum ?? 0n) + value;
      const count = (found?.row.count ?? 0n) + 1n;
      panes.set(key, { sum, row: { window, paneWindow, group, count, sum: String(sum) } });
    }
    return [...panes.values()]
      .map(({ row }) => row)
      .toSorted(
        (a, b) =>
          Number(a.window - b.window) ||
          Number(b.paneWindow - a.paneWindow) ||
          (a.group < b.group ? -1 : Number(a.group > b.group)),
      )
      .slice(skip, skip + limit);
  };

  return {
    state,
    onSecondLook(task: () => void) {
      between = task;
    },
    dependencies: {
      readHead: async () => {
        state.readHeads += 1;
        if (state.readHeads === 2) between?.();
        return state.head;
      },
      readExtent: async ({
        from,
        to,
        span,
        events: count,
      }: {
        from: bigint;
        to: bigint;
        span: bigint;
        events: number;
      }) => {
        const inside = state.events.filter(({ orderTime }) => orderTime >= from && orderTime < to);
        const first = inside[0]?.orderTime;
        const near = inside.filter(({ orderTime }) => first !== undefined && orderTime < first + span);
        return { first, last: near[count]?.orderTime };
      },
      readPanes,
    },
  };
}

function given(page: WindowsPage | PageRefusal): WindowsPage {
  if ('refused' in page) throw new Error(page.refused);
  return page;
}

/** Follows the cursor, in its text form, until nothing more is complete. */
async function readAll(
  reader: ReturnType<typeof createWindowReader>,
  request: WindowsRequest,
): Promise<readonly WindowEntry[]> {
  const entries: WindowEntry[] = [];
  let page = given(await reader.windows(request));
  for (let replies = 0; page.entries.length > 0; replies++) {
    if (replies > 10_000) throw new Error('it does not come to an end');
    entries.push(...page.entries);
    const cursor = decodeWindowCursor(encodeWindowCursor(page.next));
    if (cursor === undefined) throw new Error('a cursor that cannot be read');
    page = given(await reader.windows({ ...request, start: { at: 'cursor', cursor } }));
  }
  return entries;
}

type Totals = ReadonlyMap<string, readonly [bigint, bigint]>;

function totalsOf(rows: Iterable<readonly [key: string, count: bigint, sum: bigint]>): Totals {
  const totals = new Map<string, readonly [bigint, bigint]>();
  for (const [key, count, sum] of rows) {
    const [counted, summed] = totals.get(key) ?? [0n, 0n];
    totals.set(key, [counted + count, summed + sum]);
  }
  return totals;
}

const scenario = fc.record({
  events: fc.array(
    fc.record({
      orderTime: fc.bigInt({ min: -400n, max: 1_300n }),
      lateBy: fc.oneof(fc.constant(0n), fc.bigInt({ min: -50n, max: 300n })),
      group: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      value: fc.bigInt({ min: -9n, max: 9n }),
    }),
    { maxLength: 80 },
  ),
  size: fc.constantFrom(1n, 3n, 10n, 250n),
  limit: fc.integer({ min: 1, max: 90 }),
  panesMax: fc.integer({ min: 1, max: 12 }),
  eventsMax: fc.integer({ min: 1, max: 40 }),
  watermark: fc.bigInt({ min: -500n, max: 1_400n }),
});

describe('windows', () => {
  test('G11 all panes are what a batch counts, each window once and in order, however replies are cut and large windows are split', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ events, size, limit, panesMax, eventsMax, watermark }) => {
        const stored = events
          .map(({ orderTime, lateBy, ...rest }) => ({ ...rest, orderTime, eventTime: orderTime - lateBy }))
          .toSorted((a, b) => Number(a.orderTime - b.orderTime));
        const { dependencies } = createStore(stored, { watermark });
        const reader = createWindowReader(dependencies, { panesMax, eventsMax });
        const entries = await readAll(reader, { ...everything, sizeMicros: size, limit });

        const complete = down(watermark, size);
        const panes = entries.flatMap((entry) => ('panes' in entry ? entry.panes : []));
        expect(
          totalsOf(
            panes.map((pane) => [`${pane.paneWindow} ${pane.group}`, pane.count, BigInt(pane.sum ?? 0)]),
          ),
        ).toEqual(
          totalsOf(
            stored
              .filter(({ orderTime }) => orderTime < complete)
              .map(({ orderTime, eventTime, group, value }) => [
                `${down(least(eventTime, orderTime), size)} ${group}`,
                1n,
                value,
              ]),
          ),
        );
        // No pane comes twice.
        expect(new Set(panes.map((pane) => `${pane.window} ${pane.paneWindow} ${pane.group}`)).size).toBe(
          panes.length,
        );
        // Every window stands where the one before it ends; the rest of a large one says so.
        let reached = entries[0]?.start;
        for (const [index, entry] of entries.entries()) {
          const before = entries[index - 1];
          if ('panes' in entry && entry.continued) expect(entry.start).toBe(before?.start);
          else expect(entry.start).toBe(reached);
          reached = entry.end;
          if ('panes' in entry) expect(entry.panes.length).toBeLessThanOrEqual(panesMax);
        }
        if (entries.length > 0) expect(reached).toBe(complete);
      }),
      runs(400),
    );
  });

  test('G5 a reply of one small window does not count the events of a large stream', async () => {
    const spans: bigint[] = [];
    const { dependencies } = createStore(Array.from({ length: 900 }, (_, at) => event(BigInt(at))));
    const reader = createWindowReader({
      ...dependencies,
      readExtent: (request) => {
        spans.push(request.span);
        return dependencies.readExtent(request);
      },
    });
    const page = given(
      await reader.windows({ ...everything, start: { at: 'time', orderTime: 0n }, limit: 2 }),
    );
    expect(page.entries).toHaveLength(2);
    expect(spans).toEqual([20n]);
  });

  test('G8 an erasure between two replies of a large window leaves out nothing of the next window', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const store = createStore([...names.map((name) => event(1n, name)), event(11n, 'f'), event(12n, 'g')], {
      watermark: 20n,
    });
    const reader = createWindowReader(store.dependencies, { panesMax: 4, eventsMax: 100 });
    const first = given(await reader.windows(everything));
    expect(first.next).toMatchObject({ start: 0n, panesGiven: 4 });
    store.state.events = [event(1n, 'null'), event(11n, 'f'), event(12n, 'g')];
    const rest = await readAll(reader, { ...everything, start: { at: 'cursor', cursor: first.next } });
    expect(rest).toMatchObject([
      { start: 0n, continued: true, panes: [] },
      { start: 10n, panes: [{ group: 'f' }, { group: 'g' }] },
    ]);
  });
});

describe('windows of a stream that has lost its beginning', () => {
  const events = Array.from({ length: 10 }, (_, at) => event(BigInt(at * 5)));
  const cursorAt = (start: bigint, epoch = 1) => ({ identity: 77n, epoch, start, panesGiven: 0, kind: 5 });

  test('begin with the first that is whole', async () => {
    const { dependencies } = createStore(events, { retainedMark: 11n, watermark: 50n });
    const entries = await readAll(createWindowReader(dependencies), everything);
    expect(entries.map(({ start }) => start)).toEqual([20n, 30n, 40n]);
  });

  test('a place before it is refused with the earliest there is, which can be read', async () => {
    const { dependencies } = createStore(events, { retainedMark: 11n, watermark: 50n });
    const reader = createWindowReader(dependencies);
    for (const start of [
      { at: 'cursor', cursor: cursorAt(10n) },
      { at: 'time', orderTime: 5n },
    ] as const) {
      const refusal = await reader.windows({ ...everything, start });
      if (!('refused' in refusal) || refusal.refused !== 'cursor_expired') throw new Error('not refused');
      const cursor = decodeWindowCursor(refusal.earliestCursor);
      expect(cursor).toEqual(cursorAt(20n));
    }
    // Rounded up, this one is whole.
    expect(
      given(await reader.windows({ ...everything, start: { at: 'time', orderTime: 12n } })).entries[0]?.start,
    ).toBe(20n);
  });

  test('what goes while it is counted is not given as if it were whole', async () => {
    const store = createStore(events, { watermark: 50n });
    store.onSecondLook(() => {
      store.state.head = { ...store.state.head, retainedMark: 11n };
      store.state.events = events.filter(({ orderTime }) => orderTime >= 11n);
    });
    const reader = createWindowReader(store.dependencies);
    const start = { at: 'cursor', cursor: cursorAt(0n) } as const;
    expect(await reader.windows({ ...everything, start })).toMatchObject({ refused: 'cursor_expired' });
    const again = createStore(events, { watermark: 50n });
    again.onSecondLook(() => {
      again.state.head = { ...again.state.head, retainedMark: 11n };
      again.state.events = events.filter(({ orderTime }) => orderTime >= 11n);
    });
    const page = given(await createWindowReader(again.dependencies).windows(everything));
    expect(page.entries[0]?.start).toBe(20n);
  });
});

describe('windows of a database that was restored', () => {
  test('a cursor of before is refused with the place to go on from: the window in which the new epoch begins, or an earlier one', async () => {
    const { dependencies } = createStore([event(1n)], { epoch: 2, epochStart: 55n, watermark: 100n });
    const reader = createWindowReader(dependencies);
    for (const [start, resume] of [
      [20n, 20n],
      [50n, 50n],
      [90n, 50n],
    ] as const) {
      const cursor = { identity: 77n, epoch: 1, start, panesGiven: 0, kind: 5 };
      const refusal = await reader.windows({ ...everything, start: { at: 'cursor', cursor } });
      if (!('refused' in refusal) || refusal.refused !== 'epoch_changed') throw new Error('not refused');
      const resumed = decodeWindowCursor(refusal.resumeCursor);
      expect(resumed).toMatchObject({ epoch: 2, start: resume });
      if (resumed === undefined) throw new Error('no cursor');
      given(await reader.windows({ ...everything, start: { at: 'cursor', cursor: resumed } }));
    }
  });

  test('a cursor of another stream, of a later epoch, of another kind or between two boundaries is none', async () => {
    const { dependencies } = createStore([event(1n)]);
    const reader = createWindowReader(dependencies);
    const fine = { identity: 77n, epoch: 1, start: 0n, panesGiven: 0, kind: 5 };
    for (const change of [{ identity: 78n }, { epoch: 2 }, { kind: 6 }, { start: 5n }]) {
      const start = { at: 'cursor', cursor: { ...fine, ...change } } as const;
      expect(await reader.windows({ ...everything, start })).toEqual({ refused: 'invalid_cursor' });
    }
  });
});
