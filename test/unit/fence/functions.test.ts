/**
 * The proof is about the model; here its functions are held against those of the database. Both run the same random courses and
 * must agree on every value after every step.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Sql } from '../../../collector/src/store/database.ts';
import { createTestDatabase, type TestDatabase } from '../../harness/postgres.ts';
import { createRandom, type Random } from '../../harness/seed.ts';
import { element } from './explore.ts';
import {
  changeDelay,
  type Fence,
  orderTime,
  publish,
  raiseFloor,
  type Stream,
  watermark,
} from './functions.ts';

type State = { readonly fence: Fence; readonly streams: readonly Stream[] };

const second = 1_000_000;
const limits = { jump: 60 * second, passed: 2 * second };

let database: TestDatabase;
let sql: Sql;
let ids: readonly number[];

beforeAll(async () => {
  database = await createTestDatabase();
  // One connection, because the clock is a setting of its session.
  sql = connect(database.url, 'test', 1, {});
  await sql.unsafe(`create or replace function tidemark.clock() returns bigint language sql volatile
    as $$ select current_setting('test.clock')::bigint $$`);
  await setClock(0);
  const made = await sql<{ id: number }[]>`
    insert into tidemark.streams (name, watermark_delay) select 'stream-' || n, 0 from generate_series(1, 3) n
    returning stream_id as id`;
  ids = made.map(({ id }) => id);
});

afterAll(async () => {
  await sql.end();
  await database.drop();
});

test('G6 the fence of the model and that of the database do the same', { timeout: 120_000 }, async () => {
  const random = createRandom();
  const [{ today }] = await sql<[{ today: number }]>`select first_day as today from tidemark.installation`;
  const start = (today + 1) * 86_400 * second;

  for (let course = 0; course < 20; course++) {
    let clock = start;
    let state = initialState(random, start);
    await write(state);
    for (let step = 0; step < 25; step++) {
      clock += clockStep(random);
      await setClock(clock);
      state = await random.oneOf([raise, raise, publishSome, publishSome, setDelay, append])(
        state,
        clock,
        random,
      );
      const watermarks = state.streams.map((stream) => watermark(stream, state.fence.published));
      expect(await read()).toEqual({ ...state, watermarks });
    }
  }
});

function initialState(random: Random, start: number): State {
  const fence = {
    floor: start,
    published: start - random.below(3) * second,
    lastClock: start + within(random, second),
  };
  const orderFloor = start - 3_600 * second;
  const streams = ids.map(() => ({ delay: random.below(4) * second, orderFloor, held: undefined, hold: 0 }));
  return { fence, streams };
}

function clockStep(random: Random): number {
  return random.oneOf([
    0,
    300_000,
    second + 1,
    3 * second,
    within(random, 100 * second),
    within(random, 600 * second),
  ]);
}

async function raise({ fence, streams }: State, clock: number, random: Random): Promise<State> {
  const witness = clock + random.oneOf([0, within(random, 200 * second)]);
  const [row] = await sql<[{ raised: bigint }]>`select tidemark.raise_floor(${String(witness)}) as raised`;
  const raised = raiseFloor(fence, clock, witness, limits);
  expect(Number(row.raised)).toBe(raised.floor);
  return { fence: raised, streams };
}

async function publishSome({ fence, streams }: State, _clock: number, random: Random): Promise<State> {
  const raised = fence.floor - random.oneOf([0, 0, second]);
  const slow = streams.map(() => random.below(3) === 0);
  const drained = streams.map(({ hold }) => {
    if (random.below(2) === 0) return undefined;
    return {
      hold: hold + random.oneOf([-1, 0, 0, 1]),
      floor: fence.floor - random.oneOf([0, 0, 1, 2]) * second,
    };
  });
  const entries = drained.flatMap((entry, index) =>
    entry === undefined ? [] : [{ ...entry, id: element(ids, index) }],
  );
  const [row] = await sql<[{ published: bigint; placed: string | null }]>`
    select published, placed_streams::text as placed from tidemark.publish(
      ${String(raised)},
      ${list(ids.filter((_, index) => slow[index]))}::text::integer[],
      ${list(entries.map((entry) => entry.id))}::text::integer[],
      ${list(entries.map((entry) => entry.hold))}::text::integer[],
      ${list(entries.map((entry) => entry.floor))}::text::bigint[]
    )`;
  const done = publish(fence, streams, raised, slow, drained);
  const placed = ids.filter((_, index) => done.placed[index]);
  expect(Number(row.published)).toBe(done.fence.published);
  expect(row.placed?.match(/\d+/g)?.map(Number).toSorted() ?? []).toEqual(placed);
  return { fence: done.fence, streams: done.streams };
}

async function setDelay({ fence, streams }: State, _clock: number, random: Random): Promise<State> {
  const index = random.below(ids.length);
  const delay = random.below(6) * second;
  await sql`select tidemark.set_watermark_delay(${element(ids, index)}, ${String(delay)})`;
  return { fence, streams: streams.with(index, changeDelay(fence, element(streams, index), delay)) };
}

async function append(state: State, clock: number, random: Random): Promise<State> {
  const eventTime = clock + within(random, 10 * second);
  const times = list(ids.map(() => eventTime));
  await sql`
    select tidemark.append(array_agg(id), array_agg(gen_random_uuid()), array_agg('id'::text), array_agg('name'::text),
      array_agg(null::text), array_agg(null::text), array_agg(null::bigint), array_agg(null::bigint), array_agg(0::bigint),
      ${times}::text::bigint[], array_agg(0::smallint))
    from unnest(${list(ids)}::text::integer[]) id`;
  const rows = await sql<{ orderTime: bigint }[]>`
    select order_time as "orderTime" from tidemark.events order by stream_id`;
  await sql`delete from tidemark.events`;
  await sql`delete from tidemark.claims`;
  const arrival = Math.max(clock, state.fence.floor);
  expect(rows.map((row) => Number(row.orderTime))).toEqual(
    state.streams.map((stream) => orderTime(eventTime, arrival, stream)),
  );
  return state;
}

async function setClock(clock: number): Promise<void> {
  await sql`select set_config('test.clock', ${String(clock)}, false)`;
}

async function write({ fence, streams }: State): Promise<void> {
  await sql`
    update tidemark.fence set floor = ${String(fence.floor)}, published = ${String(fence.published)},
      last_clock = ${String(fence.lastClock)}`;
  for (const [index, { delay, orderFloor }] of streams.entries()) {
    await sql`
      update tidemark.streams set watermark_delay = ${String(delay)}, order_floor = ${String(orderFloor)},
        held_watermark = null, hold = 0
      where stream_id = ${element(ids, index)}`;
  }
}

async function read() {
  const [fence] = await sql<[{ floor: bigint; published: bigint; lastClock: bigint }]>`
    select floor, published, last_clock as "lastClock" from tidemark.fence`;
  const streams = await sql<
    { delay: bigint; orderFloor: bigint; held: bigint | null; hold: number; watermark: bigint }[]
  >`
    select watermark_delay as delay, order_floor as "orderFloor", held_watermark as held, hold,
      tidemark.watermark(s, f.published) as watermark
    from tidemark.streams s, tidemark.fence f order by stream_id`;
  return {
    fence: {
      floor: Number(fence.floor),
      published: Number(fence.published),
      lastClock: Number(fence.lastClock),
    },
    streams: streams.map(({ delay, orderFloor, held, hold }) => ({
      delay: Number(delay),
      orderFloor: Number(orderFloor),
      held: held === null ? undefined : Number(held),
      hold,
    })),
    watermarks: streams.map((stream) => Number(stream.watermark)),
  };
}

function within(random: Random, span: number): number {
  return Math.round((random.number() * 2 - 1) * span);
}

function list(values: readonly number[]): string {
  return `{${values.join(',')}}`;
}
