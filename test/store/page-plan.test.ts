// What Postgres does for a page when there are four hundred days of events. A page that opened every partition would cost more with each
// day that is kept.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClock } from '../../collector/src/clock.ts';
import type { AppendRow } from '../../collector/src/store/append.ts';
import { readSettings, type Sql } from '../../collector/src/store/database.ts';
import { advanceDefaults, createAdvancer } from '../../collector/src/store/advance.ts';
import { columnsStatement, filteredColumnsStatement } from '../../collector/src/store/columns.ts';
import { type Filter, filterValues } from '../../collector/src/store/filter.ts';
import { filteredStatement, pieceStatement, readPiece } from '../../collector/src/store/page.ts';
import { stretches } from '../../collector/src/store/partitions.ts';
import { dayMicros, listPartitions, makePast, partitionOf } from '../harness/past-partitions.ts';
import { explainSteps, type PlanNode } from '../harness/plan.ts';
import { createRow, createStoreCase, type StoreCase } from '../harness/store-case.ts';

const days = 400;
/** Days that are looked at, and have enough events for an index to be worth its while; the others have a few. */
const looked = [0, 1, 199, 397];
/** As today is: the partitions after it are empty. */
const newest = 300;
const empty = new Set([newest + 1, newest + 2]);
const busy = new Set([newest, ...looked.flatMap((day) => [day, day + 1, day + 2])]);
/** A small page, and one of the usual size: of more events than Postgres expects to find, so that it might rather sort them all. */
const limits = [30, 1_000];
const [limit = 0] = limits;

let store: StoreCase;
let read: Sql;
let today: bigint;
let streamId: number;

beforeAll(async () => {
  store = await createStoreCase();
  today = await makePast(store.sql, days);
  streamId = await store.makeStream('kept', 200n * 366n * dayMicros);
  const neighbour = await store.makeStream('neighbour', 200n * 366n * dayMicros);
  for (const one of [streamId, neighbour]) await fill(one);
  await store.sql`select tidemark.set_watermark_delay(${streamId}, 0)`;
  const clock = createClock();
  const advancer = createAdvancer(store.sql, {
    ...advanceDefaults,
    wallMicros: clock.wallMicros,
    monotonicMs: clock.monotonicMs,
    sleep: clock.sleep,
  });
  for (let tick = 0; tick < 2; tick++) await advancer.tick();
  await store.sql`analyze tidemark.events`;
  read = store.connect(1, readSettings);
});

afterAll(() => store.close());

async function fill(one: number): Promise<void> {
  await store.append(
    one,
    Array.from({ length: days }, (_, day) => day)
      .filter((day) => !empty.has(day))
      .flatMap((day) => spread(day, 2)),
  );
  for (let part = 0; part < 3; part++) await store.append(one, spread(newest, 1_000));
  for (const day of busy) await store.append(one, spread(day, 1_000));
}

function spread(day: number, count: number): AppendRow[] {
  const start = firstDay() + BigInt(day) * dayMicros;
  return Array.from({ length: count }, (_, index) =>
    createRow({ eventTime: start + (BigInt(index) * dayMicros) / BigInt(count) }),
  );
}

const firstDay = () => today - BigInt(days) * dayMicros;

describe(`a page of a stream with events on each of ${days} days`, () => {
  test.each(limits)(
    'of %i opens the partitions of its own days alone, by their index and in its order',
    async (most) => {
      expect((await listPartitions(store.sql)).length).toBeGreaterThanOrEqual(days);
      for (const day of looked) {
        const position = firstDay() + BigInt(day) * dayMicros + dayMicros / 2n;
        for (const statement of [columnsStatement, pieceStatement]) {
          const scans = expectOrdered(await explain(statement, position, most), position);
          // Rows that were read and not wanted: none but the one that shows that there are more.
          const rows = scans.reduce((sum, scan) => sum + scan['Actual Rows'] * scan['Actual Loops'], 0);
          expect(rows).toBeLessThanOrEqual(most + 1);
          for (const scan of scans) expect(scan['Rows Removed by Filter'] ?? 0).toBe(0);
        }
      }
    },
  );

  test('that is filtered goes the same way, and looks at no event twice', async () => {
    const filter = { names: ['nothing'], key: undefined, shard: { index: 0, count: 2 } };
    for (const day of looked) {
      const position = firstDay() + BigInt(day) * dayMicros + dayMicros / 2n;
      for (const statement of [filteredColumnsStatement, filteredStatement]) {
        const scans = expectOrdered(await explain(statement, position, limit, { filter }), position);
        const rows = scans.reduce((sum, scan) => sum + scan['Actual Rows'] * scan['Actual Loops'], 0);
        expect(rows).toBeLessThanOrEqual(3 * 1_000);
      }
    }
  });

  test('that looks at all days at once sorts nothing either, however few events Postgres expects', async () => {
    const position = firstDay() + BigInt(newest) * dayMicros;
    for (const statement of [columnsStatement, pieceStatement]) {
      const plan = await explain(statement, position, 1_000, { end: today + 9n * dayMicros });
      expect(plan.map((node) => node['Node Type'])).not.toContain('Sort');
    }
  });

  test('finds the same events as a look at all of them', async () => {
    const position = firstDay() + 199n * dayMicros;
    const piece = await readPiece(read, requestAt(position));
    const rows = await store.sql<{ id: string }[]>`
      select id from tidemark.events where stream_id = ${streamId} and order_time >= ${position}
      order by order_time, seq limit ${limit}`;
    expect(piece?.events.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  });

  test('far ahead of the next event looks further in a few ever wider steps', () => {
    const steps = [...stretches(firstDay(), firstDay(), today)];
    expect(steps.length).toBeLessThanOrEqual(5);
    expect(steps.at(-1)).toBe(today);
  });
});

/** Up to the end of the first stretch, as the reader asks. */
function requestAt(position: bigint) {
  const [until = today] = stretches(position, firstDay(), today);
  return {
    streamId,
    after: { orderTime: position, seq: -1n },
    until,
    limit,
    maxBytes: 1_048_576,
    filter: undefined,
  };
}

/** Few partitions, the one of the position first, by their index and without a sort. Answers with the scans. */
function expectOrdered(nodes: readonly PlanNode[], position: bigint): readonly PlanNode[] {
  const scans = nodes.filter((node) => node['Relation Name']?.startsWith('events_'));
  expect(scans.map((scan) => scan['Node Type'])).toEqual(scans.map(() => 'Index Scan'));
  expect(scans.length).toBeLessThanOrEqual(3);
  expect(scans[0]?.['Relation Name']).toBe(partitionOf(position));
  expect(nodes.map((node) => node['Node Type'])).not.toContain('Sort');
  return scans;
}

async function explain(
  statement: string,
  position: bigint,
  most: number,
  { end, filter }: { readonly end?: bigint; readonly filter?: Filter } = {},
): Promise<readonly PlanNode[]> {
  const { after, until, maxBytes } = requestAt(position);
  return explainSteps(read, statement, [
    streamId,
    after.orderTime.toString(),
    after.seq.toString(),
    (end ?? until).toString(),
    most,
    maxBytes,
    ...(filter === undefined ? [] : filterValues(filter)),
  ]);
}
