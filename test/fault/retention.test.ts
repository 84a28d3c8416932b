import { earliestMicros, type Page, parseTime, type Problem } from '@tidemark/core/wire';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createClock } from '../../collector/src/clock.ts';
import { decodeCursor } from '../../collector/src/read/cursor.ts';
import { upkeepSettings } from '../../collector/src/store/database.ts';
import {
  createUpkeep,
  type Upkeep,
  type UpkeepReport,
  upkeepDefaults,
} from '../../collector/src/store/upkeep.ts';
import { readKey, startTestCollector, type TestCollector } from '../harness/collector.ts';
import { eventually } from '../harness/eventually.ts';
import { dayMicros, listPartitions, makePast } from '../harness/past-partitions.ts';
import { createRandom, type Random } from '../harness/seed.ts';
import { createRow, createStoreCase, type StoreCase } from '../harness/store-case.ts';
import { editFunction } from '../torture/outside.ts';

const days = 12;
const perDay = 200;

/** A stream with events all over the last days, in a database with daily partitions, and collectors that read it. */
async function prepare() {
  const store = await createStoreCase();
  onTestFinished(() => store.close());
  const today = await makePast(store.sql, days);
  const streamId = await store.makeStream('kept', 200n * 366n * dayMicros);
  const neighbourId = await store.makeStream('neighbour', 200n * 366n * dayMicros);
  const rows = Array.from({ length: days * perDay }, (_, number) =>
    // Every tenth moment has two events.
    createRow({
      eventTime:
        today -
        dayMicros * BigInt(days) +
        (dayMicros / BigInt(perDay)) * BigInt(number - (number % 10 === 1 ? 1 : 0)),
    }),
  );
  await store.append(streamId, rows);
  await store.append(neighbourId, [createRow({ eventTime: today - dayMicros })]);
  const collectors = [await startTestCollector({}, store.url), await startTestCollector({}, store.url)];
  onTestFinished(async () => {
    await Promise.all(collectors.map((collector) => collector.stop()));
  });
  for (const name of ['kept', 'neighbour']) {
    await collectors[0]?.request(`/v1/streams/${name}`, { method: 'PUT', body: { watermarkDelayMs: 0 } });
  }
  const [first, second] = collectors;
  if (first === undefined || second === undefined) throw new Error('no collectors');
  await eventually(
    'all can be read',
    async () => (await first.readAll('kept', 'limit=10000')).length === rows.length,
  );
  const events = (await first.readAll('kept', 'limit=10000')).map(({ id, orderTime }) => ({
    id,
    orderTime: parseTime(orderTime) ?? earliestMicros,
  }));
  expect(events.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  return { store, today, streamId, neighbourId, collectors: [first, second] as const, events };
}

interface Listed {
  readonly id: string;
  readonly orderTime: bigint;
}

interface BoundaryReader {
  readonly pages: number;
  readonly expired: number;
  /** What no reader may ever see. */
  readonly findings: readonly string[];
  stop(): Promise<void>;
}

/**
 * Reads a few pages from the earliest place on, again and again, and knows of each page what it must hold: exactly the events
 * that follow the place it began at. Where that place is gone it has to be told so.
 */
function startBoundaryReader(
  collectors: readonly [TestCollector, ...TestCollector[]],
  events: readonly Listed[],
  random: Random,
): BoundaryReader {
  const findings: string[] = [];
  const counts = { pages: 0, expired: 0 };
  let stopped = false;
  const indexFrom = (orderTime: bigint): number => {
    const at = events.findIndex((event) => event.orderTime >= orderTime);
    return at < 0 ? events.length : at;
  };

  async function traverse(): Promise<void> {
    // The index of the event that has to come next; undefined: wherever the earliest place is.
    let next: number | undefined;
    let query = 'from=earliest';
    for (let page = 0; page < 6 && !stopped; page++) {
      const reply = await random
        .oneOf(collectors)
        .request(`/v1/streams/kept/events?${query}&limit=${1 + random.below(80)}`, { key: readKey });
      counts.pages += 1;
      if (reply.status === 410) {
        counts.expired += 1;
        const { earliestCursor = '' } = (await reply.json()) as Problem;
        const place = decodeCursor(earliestCursor)?.position;
        const stood = decodeCursor(query.replace('cursor=', ''))?.position;
        if (place === undefined || stood === undefined || stood.orderTime >= place.orderTime) {
          findings.push(`410 at ${query} before event ${next}, which is not below ${earliestCursor}`);
          return;
        }
        next = indexFrom(place.orderTime);
        query = `cursor=${earliestCursor}`;
        continue;
      }
      if (reply.status !== 200) {
        findings.push(`status ${reply.status}: ${await reply.text()}`);
        return;
      }
      const answer = (await reply.json()) as Page;
      const [first] = answer.events;
      const start = next ?? events.findIndex(({ id }) => id === first?.id);
      const expected = events.slice(start, start + answer.events.length).map(({ id }) => id);
      const given = answer.events.map(({ id }) => id);
      if (given.join() !== expected.join()) {
        const skipped = events.findIndex(({ id }) => id === first?.id);
        findings.push(`after event ${start} came event ${skipped}`);
        return;
      }
      if (!answer.hasMore && start + given.length < events.length) {
        findings.push(`the end came at event ${start + given.length} of ${events.length}`);
        return;
      }
      next = start + given.length;
      query = `cursor=${answer.nextCursor}`;
    }
  }

  const running = (async () => {
    while (!stopped && findings.length < 10) await traverse();
  })();
  return {
    get pages() {
      return counts.pages;
    },
    get expired() {
      return counts.expired;
    },
    findings,
    async stop() {
      stopped = true;
      await running;
    },
  };
}

function startUpkeep(store: StoreCase) {
  const clock = createClock();
  return createUpkeep(store.connect(1, upkeepSettings), {
    ...upkeepDefaults,
    sleep: () => Promise.resolve(),
    monotonicMs: clock.monotonicMs,
    leaveAfterMicros: 0n,
  });
}

/** The collectors have upkeeps too. */
async function takeTurn(upkeep: Upkeep): Promise<UpkeepReport> {
  let report: UpkeepReport | undefined;
  await eventually('it is our turn', async () => {
    report = await upkeep.round(new AbortController().signal);
    return report !== undefined;
  });
  if (report === undefined) throw new Error('it was our turn');
  return report;
}

/** Lowers the retention day by day, and lets the upkeep work, while readers read where it takes things away. */
async function shorten(prepared: Awaited<ReturnType<typeof prepare>>) {
  const { store, streamId, collectors, events } = prepared;
  const random = createRandom();
  const readers = Array.from({ length: 4 }, () => startBoundaryReader(collectors, events, random));
  const upkeep = startUpkeep(store);
  const dropped: string[] = [];
  try {
    for (let day = days - 1; day >= 2; day--) {
      await store.sql`update tidemark.streams set retention_days = ${day} where stream_id = ${streamId}`;
      for (let rounds = 0; rounds < 3; rounds++) {
        const report = await takeTurn(upkeep);
        expect(report.failures).toEqual([]);
        dropped.push(...report.partitionsDropped);
      }
      const before = readers.map(({ pages }) => pages);
      await eventually('every reader has read on', () =>
        readers.every(
          ({ pages, findings }, index) => findings.length > 0 || pages >= (before[index] ?? 0) + 8,
        ),
      );
    }
  } finally {
    await Promise.all(readers.map((reader) => reader.stop()));
  }
  return {
    dropped,
    findings: readers.flatMap(({ findings }) => findings),
    expired: readers.reduce((sum, { expired }) => sum + expired, 0),
  };
}

describe('readers where retention takes things away', () => {
  test('G6 are given every event that is still kept, or told where to go on, and never an error', async () => {
    const prepared = await prepare();
    const result = await shorten(prepared);
    expect(result.findings).toEqual([]);
    expect(result.expired).toBeGreaterThan(0);
    expect(result.dropped.length).toBeGreaterThanOrEqual(days - 4);
    expect(result.dropped).not.toContain((await listPartitions(prepared.store.sql))[0]);
  });

  test('G6 (the check itself) a partition that is dropped before the mark that hides it is found out', async () => {
    const prepared = await prepare();
    const { store, neighbourId } = prepared;
    // The neighbour's mark has passed them all, and nobody asks for the others.
    await store.sql`update tidemark.streams set retention_days = 1 where stream_id = ${neighbourId}`;
    await editFunction(store.sql, 'needed_by', [['RETURN found;', 'RETURN NULL;']]);
    const result = await shorten(prepared);
    expect(result.findings.filter((finding) => finding.includes('came event'))).not.toEqual([]);
  });
});
