import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Advancer } from '../../collector/src/store/advance.ts';
import type { AppendRow } from '../../collector/src/store/append.ts';
import {
  createRow,
  createStoreCase,
  createTestAdvancer,
  holdStream,
  type StoreCase,
} from '../harness/store-case.ts';
import { createRandom } from '../harness/seed.ts';

const second = 1_000_000n;
const hour = 3_600n * second;
const year = 366n * 24n * hour;

let store: StoreCase;
let advancer: Advancer;
/** What the clock of the database says. Each test begins an hour after the one before. */
let now = BigInt(Math.ceil(Date.now() / 1_000)) * second;

beforeAll(async () => {
  store = await createStoreCase();
  advancer = createTestAdvancer(store.connect(1), () => now);
});

afterAll(async () => {
  await store.close();
});

beforeEach(async () => {
  await pass(hour);
});

async function pass(micros: bigint): Promise<void> {
  now += micros;
  await store.setClock(now);
  await advancer.tick();
}

async function setDelay(streamId: number, delay: bigint): Promise<void> {
  await store.sql`select tidemark.set_watermark_delay(${streamId}, ${delay})`;
}

interface Stored {
  readonly id: string;
  readonly order_time: bigint;
  readonly event_time: bigint;
}

const stored = (streamId: number) => store.sql<Stored[]>`
  select id, order_time, event_time from tidemark.events where stream_id = ${streamId} order by order_time, seq`;

const at = (eventTime: bigint): AppendRow => createRow({ eventTime });

describe('lowering the watermark delay', () => {
  test('G6 waits for an append that still places its events by the old one', async () => {
    const streamId = await store.makeStream('lowered', 10n * second);
    await pass(second);
    const holder = await holdStream(store.sql, streamId);
    await holder.append([at(now - 9n * second)]);
    const before = await store.watermark(streamId);

    await setDelay(streamId, 0n);
    for (let turn = 0; turn < 5; turn++) {
      await pass(second);
      expect(await store.watermark(streamId)).toBe(before);
    }
    await holder.commit();
    const [event] = await stored(streamId);
    expect(event?.order_time).toBe(event?.event_time);
    expect(event?.order_time).toBeGreaterThanOrEqual(before);
    await pass(second);
    expect(await store.watermark(streamId)).toBe(now);
  });

  test('makes what comes after it late by the new one', async () => {
    const streamId = await store.makeStream('lowered-later', 10n * second);
    await pass(second);
    await setDelay(streamId, 2n * second);
    await store.append(streamId, [at(now - 9n * second), at(now - second)]);
    const events = await stored(streamId);
    expect(events.map(({ order_time }) => order_time)).toEqual([now - 2n * second, now - second]);
  });
});

describe('raising the watermark delay', () => {
  test('G6 leaves what is below the watermark as it was, and holds the watermark there until the new delay has passed', async () => {
    const streamId = await store.makeStream('raised', second);
    await pass(second);
    const before = await store.watermark(streamId);
    expect(before).toBe(now - second);
    await setDelay(streamId, 10n * second);
    await store.append(streamId, [at(now - 9n * second), at(now - second / 2n)]);
    const events = await stored(streamId);
    expect(events.map(({ order_time }) => order_time)).toEqual([before, now - second / 2n]);
    for (let turn = 1n; turn <= 12n; turn++) {
      await pass(second);
      expect(await store.watermark(streamId)).toBe(turn <= 9n ? before : now - 10n * second);
    }
  });

  test('and lowering it again changes nothing that was frozen', async () => {
    const streamId = await store.makeStream('up-and-down', second);
    await pass(second);
    let highest = await store.watermark(streamId);
    for (const delay of [hour, 0n, 30n * second, 5n * second, year, 0n]) {
      await setDelay(streamId, delay);
      for (let turn = 0; turn < 3; turn++) {
        const watermark = await store.watermark(streamId);
        expect(watermark).toBeGreaterThanOrEqual(highest);
        highest = watermark;
        await store.append(streamId, [at(now - 2n * hour)]);
        const [first] = (await stored(streamId)).slice(-1);
        expect(first?.order_time).toBeGreaterThanOrEqual(highest);
        await pass(second);
      }
    }
    expect(await store.watermark(streamId)).toBe(now);
  });
});

describe('a backfill', () => {
  const delay = 200n * year;

  test('G7 of history in any order of arrival is read in exact event-time order once the delay is lowered', async () => {
    const random = createRandom();
    const streamId = await store.makeStream('history', delay);
    const times = Array.from(
      { length: 300 },
      () => now - 150n * year + BigInt(Math.floor(random.number() * 2 ** 32)) * 1_000_000n,
    );
    times.push(-62_135_596_800_000_000n, -1n, 0n, now - 1n, now);
    // An import goes on while time does.
    for (let start = 0; start < times.length; start += 61) {
      await store.append(
        streamId,
        times
          .slice(start, start + 61)
          .map(at)
          .sort(byEventTime),
      );
      await pass(second);
      expect(await store.watermark(streamId)).toBe(now - delay);
    }
    await setDelay(streamId, 5n * second);
    await pass(second);
    expect(await store.watermark(streamId)).toBe(now - 5n * second);
    const events = await stored(streamId);
    // Year 1 is older than the delay: that one is late.
    const [late, ...exact] = events;
    expect(late?.event_time).toBe(-62_135_596_800_000_000n);
    expect(exact.map(({ order_time }) => order_time)).toEqual(exact.map(({ event_time }) => event_time));
    expect(exact.map(({ event_time }) => event_time)).toEqual(
      times.filter((time) => time !== late?.event_time).sort(compare),
    );
  });

  test('G6 waits at the end for the last batches that are under way', async () => {
    const streamId = await store.makeStream('history-under-way', delay);
    await pass(second);
    const before = await store.watermark(streamId);
    const holder = await holdStream(store.sql, streamId);
    await holder.append([at(now - 100n * year)]);
    await setDelay(streamId, 0n);
    await pass(second);
    expect(await store.watermark(streamId)).toBe(before);
    await holder.commit();
    await pass(second);
    expect(await store.watermark(streamId)).toBe(now);
    expect((await stored(streamId)).map(({ order_time, event_time }) => order_time - event_time)).toEqual([
      0n,
    ]);
  });

  test('into a stream that has published a watermark is late from there on', async () => {
    const streamId = await store.makeStream('history-too-late', 5n * second);
    await pass(second);
    const frozen = await store.watermark(streamId);
    await setDelay(streamId, delay);
    await store.append(streamId, [at(now - year), at(now - second)]);
    expect((await stored(streamId)).map(({ order_time }) => order_time)).toEqual([frozen, now - second]);
  });
});

test('setting the delay to what it is changes nothing', async () => {
  const streamId = await store.makeStream('same', 5n * second);
  const before = await row(streamId);
  await setDelay(streamId, 5n * second);
  expect(await row(streamId)).toEqual(before);
});

const row = (streamId: number) =>
  store.sql`select * from tidemark.streams where stream_id = ${streamId}`.then(([found]) => found);
const byEventTime = (a: AppendRow, b: AppendRow): number => compare(a.eventTime, b.eventTime);

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
