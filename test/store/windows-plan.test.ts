// What Postgres does for windows of a day with many events. Windows that read all of the day would cost more with each event of it.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { aggregateSettings, type Sql } from '../../collector/src/store/database.ts';
import { panesStatement, readPanes } from '../../collector/src/store/windows.ts';
import { dayMicros, makePast } from '../harness/past-partitions.ts';
import { explainSteps } from '../harness/plan.ts';
import { createRow, createStoreCase, type StoreCase } from '../harness/store-case.ts';

const events = 20_000;
const windowsOfDay = 2;
/** Of a usual size: about so many events a page of Postgres decide what it takes for cheap. */
const props = JSON.stringify({ text: 'x'.repeat(200) });
const sizeMicros = dayMicros / BigInt(windowsOfDay);

let store: StoreCase;
let aggregate: Sql;
let streamId: number;
let day: bigint;

beforeAll(async () => {
  store = await createStoreCase();
  day = (await makePast(store.sql, 2)) - dayMicros;
  streamId = await store.makeStream('day', 200n * 366n * dayMicros);
  for (let part = 0; part < events; part += 1_000) {
    await store.append(
      streamId,
      Array.from({ length: 1_000 }, (_, index) =>
        createRow({ eventTime: day + (BigInt(part + index) * dayMicros) / BigInt(events), props }),
      ),
    );
  }
  await store.sql`vacuum analyze tidemark.events`;
  aggregate = store.connect(1, aggregateSettings);
});

afterAll(() => store.close());

test('a window of half a day reads the events of that half alone', async () => {
  const from = day + sizeMicros;
  const to = from + sizeMicros;
  for (const groupBy of [undefined, 'name', 'key'] as const) {
    const steps = await explainSteps(aggregate, panesStatement(groupBy, false), [
      streamId,
      ...[from, to, sizeMicros].map(String),
      0,
      10_001,
    ]);
    const scans = steps.filter((step) => step['Relation Name']?.startsWith('events_'));
    expect(scans.map((scan) => scan['Actual Rows'] * scan['Actual Loops'])).toEqual([events / windowsOfDay]);
    expect(scans.map((scan) => scan['Rows Removed by Filter'] ?? 0)).toEqual([0]);
    const range = { streamId, sizeMicros, from, to, sum: undefined, skip: 0, limit: 10_001 };
    const panes = await readPanes(aggregate, { ...range, groupBy });
    expect(panes.reduce((sum, { count }) => sum + Number(count), 0)).toBe(events / windowsOfDay);
  }
});
