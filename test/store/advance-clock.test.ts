import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Advancer } from '../../collector/src/store/advance.ts';
import type { Sql } from '../../collector/src/store/database.ts';
import { createRandom } from '../harness/seed.ts';
import {
  createRow,
  createStoreCase,
  createTestAdvancer,
  type Holder,
  holdStream,
  type StoreCase,
} from '../harness/store-case.ts';

const ms = 1_000n;
const second = 1_000_000n;
const hour = 3_600n * second;

let store: StoreCase;
let control: Sql;
let streamId: number;
/** What the clock of the database says. */
let clock = BigInt(Math.ceil(Date.now() / 1_000)) * second;
/** What the clock of the advancing process says. */
let witness = clock;
let advancer: Advancer;

beforeAll(async () => {
  store = await createStoreCase();
  control = store.connect(2);
  advancer = createTestAdvancer(control, () => witness);
  streamId = await store.makeStream('any', 0n);
});

afterAll(async () => {
  await store.close();
});

beforeEach(async () => {
  // Back to the truth, wherever the test before has led: nothing here ever goes back.
  const { floor } = await readFence();
  clock = (floor > clock ? floor : clock) + hour;
  witness = clock;
  await tick();
});

/** Both clocks go on, and one tick follows; answers the watermark of a stream with no delay, which is the published floor. */
async function tick(passed = 0n): Promise<bigint> {
  clock += passed;
  witness += passed;
  await store.setClock(clock);
  return advancer.tick();
}

async function readFence(): Promise<{ floor: bigint; published: bigint; last_clock: bigint }> {
  const [fence] = await store.sql<
    [{ floor: bigint; published: bigint; last_clock: bigint }]
  >`select * from tidemark.fence`;
  return fence;
}

describe('when the clock of the database steps forward by an hour', () => {
  test('G9 the watermark follows at once if the clock of the process says so, too', async () => {
    clock += hour;
    witness += hour;
    expect(await tick()).toBe(clock);
    expect(await store.watermark(streamId)).toBe(clock);
  });

  test('and the clock of the process contradicts, the watermark gains at most as much as passes until the clock is right again', async () => {
    clock += hour;
    for (let turn = 1n; turn <= 10n; turn++) {
      const floor = await tick(second);
      expect(floor).toBeGreaterThanOrEqual(witness);
      expect(floor).toBeLessThanOrEqual(witness + 3n * second + turn * second);
    }
    clock -= hour;
    const lead = (await tick(second)) - clock;
    for (let turn = 0; turn < 2 * Number(lead / second) + 2; turn++) await tick(second);
    expect(await tick(second)).toBe(clock);
  });

  test('and the clock of the process stands still, the watermark goes on at twice the pace of time, until it is there', async () => {
    const before = (await readFence()).floor;
    clock += 80n * second;
    // The step itself passes for time, of which two seconds are believed.
    for (let turn = 0n; turn < 3n; turn++) {
      clock += second;
      await store.setClock(clock);
      expect((await advancer.tick()) - before).toBe(4n * second + turn * 2n * second);
    }
    for (let turn = 0; turn < 80; turn++) {
      clock += second;
      await store.setClock(clock);
      await advancer.tick();
    }
    expect(await advancer.tick()).toBe(clock);
  });

  test('an append does not wait for the floor: its events stand in the future until the watermark gets there', async () => {
    const start = clock;
    clock += hour;
    await store.setClock(clock);
    await store.append(streamId, [createRow({ eventTime: start + second })]);
    const [event] = await store.sql<[{ order_time: bigint }]>`
      select order_time from tidemark.events where stream_id = ${streamId} order by order_time desc limit 1`;
    expect(event.order_time).toBe(clock);
    clock = start;
    expect(await tick(second)).toBe(start + second);
  });

  test.each([60n * second, 1n * second])(
    'by no more than a minute (%i µs), the clock of the process is not asked',
    async (step) => {
      clock += step;
      expect(await tick()).toBe(clock);
    },
  );
});

describe('when the clock of the database steps back by an hour', () => {
  test('G9 time goes on at half its pace, until the clock has caught up', async () => {
    const before = clock;
    clock -= hour;
    expect(await tick()).toBe(before);
    for (let turn = 1n; turn <= 10n; turn++) expect(await tick(second)).toBe(before + (turn * second) / 2n);
    // Most of the two hours that it takes to meet, in steps of which two seconds are believed.
    clock = before + 6n * second;
    witness = clock;
    expect(await tick(second)).toBe(clock);
    expect(await tick(second)).toBe(clock);
  });

  test('G6 appends arrive at the floor, not before it', async () => {
    const before = clock;
    await tick(second);
    clock -= hour;
    await tick();
    const watermark = await store.watermark(streamId);
    await store.append(streamId, [createRow({ eventTime: clock }), createRow({ eventTime: before - hour })]);
    const events = await store.sql<{ order_time: bigint }[]>`
      select order_time from tidemark.events where stream_id = ${streamId} order by seq desc limit 2`;
    for (const event of events) expect(event.order_time).toBeGreaterThanOrEqual(watermark);
  });

  test('and forward again, it is as if nothing had happened', async () => {
    clock -= hour;
    witness -= hour;
    await tick();
    clock += hour;
    witness += hour;
    expect(await tick(second)).toBe(clock);
  });
});

describe('two advancers whose clocks differ', () => {
  test('take a step that one of them believes', async () => {
    const other = createTestAdvancer(control, () => clock);
    clock += hour;
    expect(await tick(second)).toBeLessThanOrEqual(witness + 3n * second);
    expect(await other.tick()).toBe(clock);
    expect(await tick(second)).toBe(clock);
  });

  test('gain no more together than one alone would on a step that neither believes', async () => {
    const other = createTestAdvancer(control, () => witness - 5n * second);
    clock += hour;
    for (let turn = 1n; turn <= 20n; turn++) {
      await tick(100n * ms);
      expect(await other.tick()).toBeLessThanOrEqual(witness + 4n * second + turn * 100n * ms);
    }
  });
});

test('G7 floor, published floor, order floor and every watermark never decrease, and appends never go below a watermark, whatever happens', async () => {
  const random = createRandom(1);
  const delays = [0n, 50n * ms, 2n * second, hour] as const;
  const streamIds = [
    streamId,
    await store.makeStream('second', 2n * second),
    await store.makeStream('third', hour),
  ] as const;
  const advancers = [
    advancer,
    createTestAdvancer(control, () => witness - 90n * second),
    createTestAdvancer(control, () => clock),
  ] as const;
  const sessions = store.connect(3, { idle_in_transaction_session_timeout: 0 });
  const holders: Holder[] = [];
  let before = await heights(streamIds);

  const steps: Record<string, () => Promise<unknown>> = {
    pass: () => tick(BigInt(random.below(3_000_000))),
    wait: () => store.setClock((clock += BigInt(random.below(400_000)))),
    stepForward: () => store.setClock((clock += BigInt(random.below(7_200)) * second)),
    stepBack: () => store.setClock((clock -= BigInt(random.below(7_200)) * second)),
    agree: async () => {
      witness = clock;
    },
    tick: () => random.oneOf(advancers).tick(),
    tickTogether: () => Promise.all(advancers.map((one) => one.tick())),
    delay: () =>
      store.sql`select tidemark.set_watermark_delay(${random.oneOf(streamIds)}, ${random.oneOf(delays)})`,
    append: () => store.append(random.oneOf(streamIds), [anyRow()]),
    hold: async () => {
      if (holders.length === 3) return;
      const holder = await holdStream(sessions, random.oneOf(streamIds));
      holders.push(holder);
      await holder.append([anyRow()]);
    },
    release: () => holders.shift()?.commit() ?? Promise.resolve(),
  };
  const names = Object.keys(steps) as [string, ...string[]];
  const anyRow = () => createRow({ eventTime: clock - BigInt(random.below(9_000)) * second + hour });

  const taken: string[] = [];
  const seen = new Set(before.events.map(({ id }) => id));
  for (let turn = 0; turn < 400; turn++) {
    const name = random.oneOf(names);
    taken.push(name);
    await steps[name]?.();
    const after = await heights(streamIds);
    const lower = Object.keys(after.marks).filter(
      (mark) => (after.marks[mark] ?? 0n) < (before.marks[mark] ?? 0n),
    );
    expect(lower, `after ${taken.slice(-10).join(', ')}`).toEqual([]);
    // What becomes visible below a watermark that was there before is what no reader would ever see.
    const late = after.events.filter(
      ({ id, stream_id, order_time }) =>
        !seen.has(id) && order_time < (before.marks[`watermark ${stream_id}`] ?? 0n),
    );
    expect(late, `after ${taken.slice(-10).join(', ')}`).toEqual([]);
    for (const { id } of after.events) seen.add(id);
    before = after;
  }
  for (const holder of holders) await holder.commit();
  expect(seen.size).toBeGreaterThan(30);
});

/** Everything that must not decrease, and all events, in one snapshot. */
async function heights(streamIds: readonly number[]) {
  const [row] = await store.sql<
    [
      {
        marks: Record<string, string>;
        events: { id: string; stream_id: number; order_time: string }[] | null;
      },
    ]
  >`
    select
      (select jsonb_object_agg(name, value::text) from (
        select 'floor' as name, floor as value from tidemark.fence
        union all select 'published', published from tidemark.fence
        union all select 'order floor ' || stream_id, order_floor from tidemark.streams
        union all select 'watermark ' || stream_id, tidemark.watermark(s, f.published) from tidemark.streams s, tidemark.fence f
      ) mark) as marks,
      (select jsonb_agg(jsonb_build_object('id', id, 'stream_id', stream_id, 'order_time', order_time::text)) from tidemark.events) as events`;
  expect(streamIds.every((streamId) => `watermark ${streamId}` in row.marks)).toBe(true);
  return {
    marks: Object.fromEntries(
      Object.entries(row.marks).map(([name, value]) => [name, BigInt(value)]),
    ) as Record<string, bigint>,
    events: (row.events ?? []).map((event) => ({ ...event, order_time: BigInt(event.order_time) })),
  };
}
