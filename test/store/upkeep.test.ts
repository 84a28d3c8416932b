import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { advanceDefaults, createAdvancer } from '../../collector/src/store/advance.ts';
import { createClock } from '../../collector/src/clock.ts';
import { connect, upkeepSettings } from '../../collector/src/store/database.ts';
import { failureOf } from '../../collector/src/store/failure.ts';
import { makePartitionsFor } from '../../collector/src/store/partitions.ts';
import { publishMarks } from '../../collector/src/store/retention.ts';
import { claimPagesMax, expireClaims, sweepRowsMax } from '../../collector/src/store/sweep.ts';
import {
  createUpkeep,
  type Upkeep,
  type UpkeepOptions,
  type UpkeepReport,
  upkeepDefaults,
} from '../../collector/src/store/upkeep.ts';
import { eventually } from '../harness/eventually.ts';
import { dayMicros, listPartitions, makePast, partitionOf } from '../harness/past-partitions.ts';
import { createRow, createStoreCase, holdStream, type StoreCase } from '../harness/store-case.ts';

const clock = createClock();
const hour = 3_600_000_000n;
const forever = 200n * 366n * dayMicros;

let store: StoreCase;
let today: bigint;

beforeEach(async () => {
  store = await createStoreCase();
  today = await makePast(store.sql, 12);
});

afterEach(() => store.close());

function startUpkeep(change: Partial<UpkeepOptions> = {}): Upkeep {
  return createUpkeep(store.connect(1, upkeepSettings), {
    ...upkeepDefaults,
    sleep: () => Promise.resolve(),
    monotonicMs: clock.monotonicMs,
    leaveAfterMicros: 0n,
    ...change,
  });
}

/** As many rounds as it takes; every step has to succeed. */
async function finish(upkeep: Upkeep): Promise<UpkeepReport[]> {
  const reports: UpkeepReport[] = [];
  for (let idle = 0; idle < 4; ) {
    const report = await upkeep.round(new AbortController().signal);
    if (report === undefined) throw new Error('another upkeep has the lock');
    expect(report.failures).toEqual([]);
    reports.push(report);
    const { eventsDeleted, claimsDeleted, partitionsDropped, more } = report;
    idle = eventsDeleted + claimsDeleted + partitionsDropped.length > 0 || more ? 0 : idle + 1;
  }
  return reports;
}

/** A stream with an event at the end of each of the last days, behind wherever in its day a mark may lie; all below its watermark. */
async function makeStream(name: string, days: number, perDay = 1): Promise<number> {
  const streamId = await store.makeStream(name, forever);
  for (let day = 1; day <= days; day++) {
    const eventTime = today - BigInt(day - 1) * dayMicros - 1n;
    await store.append(
      streamId,
      Array.from({ length: perDay }, () => createRow({ stream: name, eventTime })),
    );
  }
  await store.sql`select tidemark.set_watermark_delay(${streamId}, 0)`;
  await advance();
  return streamId;
}

async function advance(): Promise<void> {
  const advancer = createAdvancer(store.sql, {
    ...advanceDefaults,
    wallMicros: clock.wallMicros,
    monotonicMs: clock.monotonicMs,
    sleep: clock.sleep,
  });
  await advancer.tick();
  await advancer.tick();
}

const keep = (streamId: number, days: number | null) =>
  store.sql`update tidemark.streams set retention_days = ${days} where stream_id = ${streamId}`;

async function markOf(streamId: number): Promise<bigint> {
  const [row] = await store.sql<[{ retained_mark: bigint }]>`
    select retained_mark from tidemark.streams where stream_id = ${streamId}`;
  return row.retained_mark;
}

async function countEvents(streamId: number): Promise<number> {
  const [row] = await store.sql<[{ count: number }]>`
    select count(*)::integer as count from tidemark.events where stream_id = ${streamId}`;
  return row.count;
}

async function countClaims(streamId: number): Promise<number> {
  const [row] = await store.sql<[{ count: number }]>`
    select count(*)::integer as count from tidemark.claims where stream_id = ${streamId}`;
  return row.count;
}

async function published(): Promise<bigint> {
  const [row] = await store.sql<[{ published: bigint }]>`select published from tidemark.fence`;
  return row.published;
}

describe('the retained mark', () => {
  test('is so many days behind the floor, rounded down to the hour, and moves forward only', async () => {
    const kept = await makeStream('kept', 1);
    const short = await makeStream('short', 1);
    const before = await markOf(kept);
    await keep(short, 3);
    expect(await publishMarks(store.sql, hour)).toBe(1);
    const now = await published();
    expect(await markOf(short)).toBe(((now - 3n * dayMicros) / hour) * hour);
    expect(await publishMarks(store.sql, hour)).toBe(0);
    await keep(short, 8);
    expect(await publishMarks(store.sql, hour)).toBe(0);
    expect(await markOf(short)).toBe(((now - 3n * dayMicros) / hour) * hour);
    expect(await markOf(kept)).toBe(before);
  });

  test('is never above the watermark, neither of a stream with a long delay nor of one that is held', async () => {
    const slow = await store.makeStream('slow', 20n * dayMicros);
    const held = await store.makeStream('held', 10n * dayMicros);
    await keep(slow, 1);
    await keep(held, 1);
    const holder = await holdStream(store.connect(1, { idle_in_transaction_session_timeout: 0 }), held);
    await store.sql`select tidemark.set_watermark_delay(${held}, 0)`;
    await advance();
    await publishMarks(store.sql, hour);
    for (const streamId of [slow, held]) {
      const watermark = await store.watermark(streamId);
      const mark = await markOf(streamId);
      expect(mark).toBeLessThanOrEqual(watermark);
      expect(mark).toBeGreaterThan(watermark - hour);
    }
    await holder.commit();
    await advance();
    await advance();
    await publishMarks(store.sql, hour);
    expect(await markOf(held)).toBe((((await published()) - dayMicros) / hour) * hour);
  });

  test('before 1970 is rounded down too', async () => {
    const [row] = await store.sql<[{ down: bigint }]>`select tidemark.round_down(-1, 3600000000) as down`;
    expect(row.down).toBe(-hour);
  });
});

describe('partitions', () => {
  test('are dropped when the marks of all streams that have events there have passed them', async () => {
    const one = await makeStream('one', 9);
    const other = await makeStream('other', 6);
    await keep(one, 3);
    const kept = await makeStream('of-today', 0);
    await finish(startUpkeep());
    // Nobody has events in the oldest days, so they go first; of the others, those of the second stream stay.
    expect((await listPartitions(store.sql))[0]).toBe(partitionOf(today - 6n * dayMicros));
    // Of the day that the mark lies in, everything is still there.
    expect(await countEvents(one)).toBe(3);
    await keep(other, 4);
    await finish(startUpkeep());
    const [oldest] = await listPartitions(store.sql);
    expect(oldest).toBe(partitionOf(await markOf(other)));
    expect(await countEvents(kept)).toBe(0);
  });

  test('stay for a while after the marks have passed them', async () => {
    const stream = await makeStream('stream', 9);
    await keep(stream, 3);
    const before = await listPartitions(store.sql);
    await finish(startUpkeep({ leaveAfterMicros: 3_600_000_000n }));
    expect(await listPartitions(store.sql)).toEqual(before);
    expect(await countEvents(stream)).toBe(9);
    await finish(startUpkeep());
    expect((await listPartitions(store.sql)).length).toBeLessThan(before.length);
  });

  test('in which an event arrived at the last moment are kept', async () => {
    const stream = await makeStream('stream', 9);
    await keep(stream, 3);
    await finish(startUpkeep({ leaveAfterMicros: 3_600_000_000n }));
    const importing = await store.makeStream('importing', forever);
    const eventTime = today - 7n * dayMicros;
    await store.append(importing, [createRow({ eventTime })]);
    await finish(startUpkeep());
    expect(await listPartitions(store.sql)).toContain(partitionOf(eventTime));
    expect(await countEvents(importing)).toBe(1);
    // What would have gone with the partition was swept instead.
    expect(await countEvents(stream)).toBe(3);
    // It takes events as before.
    await store.append(importing, [createRow({ eventTime })]);
    expect(await countEvents(importing)).toBe(2);
  });

  test('that are about to be dropped take no event any more: it has to come again, and then there is a new one', async () => {
    const stream = await makeStream('stream', 9);
    await keep(stream, 3);
    await finish(startUpkeep({ leaveAfterMicros: 3_600_000_000n }));
    const importing = await store.makeStream('importing', forever);
    const row = createRow({ stream: 'importing', eventTime: today - 7n * dayMicros });
    await store.sql`select tidemark.close_partition(${partitionOf(row.eventTime)})`;
    expect(await store.append(importing, [row]).catch(failureOf)).toBe('no_partition');
    expect(await makePartitionsFor(store.sql, [row])).toBe(0);
    await finish(startUpkeep());
    expect(await store.append(importing, [row]).catch(failureOf)).toBe('no_partition');
    expect(await makePartitionsFor(store.sql, [row])).toBe(1);
    expect(await store.append(importing, [row])).toEqual([]);
    expect(await countEvents(importing)).toBe(1);
  });

  test('of the history are dropped like others, and made anew for an import', async () => {
    const stream = await makeStream('stream', 14);
    expect((await listPartitions(store.sql))[0]).toBe('events_history');
    await keep(stream, 3);
    await finish(startUpkeep());
    expect(await listPartitions(store.sql)).not.toContain('events_history');
    const importing = await store.makeStream('importing', forever);
    const row = createRow({ stream: 'importing', eventTime: 0n });
    expect(await store.append(importing, [row]).catch(failureOf)).toBe('no_partition');
    await makePartitionsFor(store.sql, [row]);
    expect(await store.append(importing, [row])).toEqual([]);
    expect((await listPartitions(store.sql))[0]).toBe('events_history');
  });

  test('whose detaching was interrupted by a long read are dropped when it has ended', async () => {
    const stream = await makeStream('stream', 9);
    await keep(stream, 3);
    const reading = connect(store.url, 'test', 1, { idle_in_transaction_session_timeout: 0 });
    onTestFinished(() => reading.end());
    const upkeep = startUpkeep({ markStepMicros: dayMicros });
    await reading.begin(async (transaction) => {
      await transaction`select count(*) from tidemark.events`;
      const report = await upkeep.round(new AbortController().signal);
      expect(report?.failures.map(({ step }) => step)).toEqual(['drop partitions']);
      const [row] = await store.sql<
        [{ count: number }]
      >`select count(*)::integer as count from tidemark.partitions() where detaching`;
      expect(row.count).toBe(1);
      // Others find what began, fail at it too, and harm nobody.
      const other = await startUpkeep().round(new AbortController().signal);
      expect(other?.failures.map(({ step }) => step)).toEqual(['drop partitions']);
      expect(await store.append(stream, [createRow()])).toEqual([]);
    });
    await finish(upkeep);
    expect((await listPartitions(store.sql))[0]).toBe(partitionOf(await markOf(stream)));
  });

  test('are made for the week to come', async () => {
    await store.sql`select tidemark.make_partitions(0, 0)`;
    const last = (await listPartitions(store.sql)).at(-1) ?? '';
    await store.sql.unsafe(`drop table tidemark."${last}"`);
    const [report] = await finish(startUpkeep());
    expect(report?.partitionsMade).toBe(1);
    expect((await listPartitions(store.sql)).at(-1)).toBe(last);
  });
});

describe('small deletes', () => {
  test('take the events of a stream that is kept shorter than its neighbour, and no others', async () => {
    const neighbour = await makeStream('neighbour', 9);
    const short = await makeStream('short', 9, 1_500);
    await keep(short, 2);
    const before = await listPartitions(store.sql);
    const reports = await finish(startUpkeep({ deletesPerRound: 1 }));
    const mark = await markOf(short);
    const gone = Number((mark / dayMicros) * dayMicros - (today - 9n * dayMicros)) / Number(dayMicros);
    expect(await countEvents(short)).toBe((9 - gone) * 1_500);
    expect(await countEvents(neighbour)).toBe(9);
    expect((await listPartitions(store.sql)).slice(-9)).toEqual(before.slice(-9));
    expect(reports.every(({ eventsDeleted }) => eventsDeleted <= 5_000)).toBe(true);
    expect(reports.reduce((sum, { eventsDeleted }) => sum + eventsDeleted, 0)).toBe(gone * 1_500);
  });

  test('go on where another left off, more of a moment than one takes at once', async () => {
    const neighbour = await makeStream('neighbour', 9);
    const short = await makeStream('short', 5, 6_000);
    await keep(short, 1);
    await startUpkeep({ deletesPerRound: 1 }).round(new AbortController().signal);
    expect(await countEvents(short)).toBe(5 * 6_000 - 5_000);
    await finish(startUpkeep());
    expect(await countEvents(short)).toBe(6_000);
    expect(await countEvents(neighbour)).toBe(9);
  });
});

describe('claims', () => {
  const age = (streamId: number, days: number) => store.sql`
    update tidemark.claims set claimed_on = (select published / 86400000000 from tidemark.fence) - ${days}::integer
    where stream_id = ${streamId}`;

  test('G2 are kept for the whole of the dedupe window of their stream, and not for ever', async () => {
    const week = await store.makeStream('week', 0n);
    const month = await store.makeStream('month', 0n);
    await store.sql`update tidemark.streams set dedupe_days = 30 where stream_id = ${month}`;
    const row = createRow();
    for (const streamId of [week, month]) await store.append(streamId, [row]);
    for (const streamId of [week, month]) await age(streamId, 7);
    await advance();
    await finish(startUpkeep());
    expect(await store.append(week, [row])).toEqual([0]);
    for (const streamId of [week, month]) await age(streamId, 8);
    await finish(startUpkeep());
    expect(await store.append(week, [row])).toEqual([]);
    expect(await countEvents(week)).toBe(2);
    expect(await store.append(month, [row])).toEqual([0]);
  });

  test('are found wherever they lie, a piece at a time', async () => {
    const stream = await store.makeStream('stream', 0n);
    await store.append(
      stream,
      Array.from({ length: 30_000 }, () => createRow()),
    );
    await advance();
    await age(stream, 8);
    const fresh = createRow();
    await store.append(stream, [fresh]);
    const deleted: number[] = [];
    for (let pages = 0; pages < 2_000; pages += claimPagesMax) {
      deleted.push((await expireClaims(store.sql)).deleted);
    }
    expect(Math.max(...deleted)).toBeLessThanOrEqual(sweepRowsMax);
    expect(deleted.reduce((sum, count) => sum + count)).toBe(30_000);
    expect(await countClaims(stream)).toBe(1);
    expect(await store.append(stream, [fresh])).toEqual([0]);
  });
});

describe('of several upkeeps', () => {
  /** One that is stopped in the middle of its round, until the test lets it go. */
  async function stopMidway(settings: Record<string, string> = {}): Promise<() => Promise<void>> {
    let goOn: (() => void) | undefined;
    let gone = false;
    const upkeep = createUpkeep(store.connect(1, { ...upkeepSettings, ...settings }), {
      ...upkeepDefaults,
      monotonicMs: clock.monotonicMs,
      sleep: () =>
        new Promise((end) => {
          goOn = end;
          if (gone) end();
        }),
    });
    const work = upkeep.round(new AbortController().signal).catch(() => undefined);
    await eventually('it is in the middle', () => goOn !== undefined);
    return async () => {
      gone = true;
      goOn?.();
      await work;
    };
  }

  const round = () => startUpkeep().round(new AbortController().signal);

  beforeEach(async () => {
    await keep(await makeStream('stream', 5, 10), 1);
    await makeStream('neighbour', 5);
  });

  test('one works at a time, and another takes over when its connection is lost', async () => {
    const goOn = await stopMidway();
    expect(await round()).toBeUndefined();
    await store.sql`
      select pg_terminate_backend(pid) from pg_locks
      where locktype = 'advisory' and classid = 1953064293 and objid = 3 and granted
        and database = (select oid from pg_database where datname = current_database())`;
    await eventually('another one works', async () => (await round()) !== undefined);
    await goOn();
  });

  test('one that was stopped loses its turn, and does no harm when it goes on', async () => {
    const goOn = await stopMidway({ idle_session_timeout: '300ms' });
    expect(await round()).toBeUndefined();
    await eventually('another one works', async () => (await round()) !== undefined);
    await goOn();
    const [report] = await finish(startUpkeep());
    expect(report?.failures).toEqual([]);
  });
});
