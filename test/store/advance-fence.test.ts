// The fence under fire, within one process: writers that pause at the worst places, advancers, a reader that goes after the
// watermark, and a clock that steps back. Put in a known mistake, and the reader misses events.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createAdvancer } from '../../collector/src/store/advance.ts';
import { appendRows } from '../../collector/src/store/append.ts';
import type { Sql } from '../../collector/src/store/database.ts';
import { failureOf } from '../../collector/src/store/failure.ts';
import { type Position, readPiece } from '../../collector/src/store/page.ts';
import { createRandom, type Random } from '../harness/seed.ts';
import { createRow, createStoreCase } from '../harness/store-case.ts';
import { type Edit, editFunction, lockStatement } from '../torture/outside.ts';

/** What is changed in the functions of the database, and in the settings of the writers' connections. */
interface Variant {
  readonly append: readonly Edit[];
  readonly publish?: readonly Edit[];
  readonly settings?: Record<string, string>;
  /** The clock does not step: where it is behind the floor the mistake does no harm. */
  readonly steadyClock?: true;
}

// Most appends are quick, so that the watermark moves past those that are not.
const pause = 'PERFORM pg_sleep(CASE WHEN random() < 0.2 THEN 0.05 * random() ELSE 0 END);';
/** Without a lock it holds up nothing: from 3 to 300 ms, so that the floor moves meanwhile, however quick the machine is. */
const unlockedSleep = 'pg_sleep(CASE WHEN random() < 0.2 THEN 0.003 * 100 ^ random() ELSE 0 END)';
const unlockedPause = `PERFORM ${unlockedSleep};`;
const beforeLock: Edit = [lockStatement, `${unlockedPause} $&`];
const afterLock: Edit = [lockStatement, `$& ${pause}`];
const afterPlaces: Edit = ['base := nextval', `${pause} $&`];
const beforeEnd: Edit = [/RETURN taken;/, `${pause} $&`];
const arrivalStatement =
  /SELECT greatest\(tidemark\.clock\(\), f\.floor\),[^;]*INTO STRICT arrival, erased_through FROM tidemark\.fence f;/;

const product: Variant = { append: [beforeLock, afterLock, afterPlaces, beforeEnd] };

const mistakes: readonly (readonly [string, Variant])[] = [
  ['append takes no lock', { append: [[lockStatement, ''], afterPlaces] }],
  [
    'append takes its locks in the statement that reads the floor',
    {
      append: [
        [lockStatement, ''],
        [
          'FROM tidemark.fence f;',
          `FROM tidemark.fence f, (
            SELECT count(${unlockedSleep})
              + count(pg_advisory_xact_lock_shared(1953064291, s.stream_id)) AS taken
            FROM (SELECT DISTINCT r.stream_id FROM unnest(row_streams) r (stream_id) ORDER BY 1) s
          ) locks WHERE locks.taken >= 0;`,
        ],
      ],
    },
  ],
  [
    'append reads the floor before it takes its locks',
    {
      append: [
        [lockStatement, ''],
        [
          arrivalStatement,
          `$& ${unlockedPause}
          PERFORM pg_advisory_xact_lock_shared(1953064291, s.stream_id)
            FROM (SELECT DISTINCT r.stream_id FROM unnest(row_streams) r (stream_id) ORDER BY 1) s;`,
        ],
      ],
    },
  ],
  [
    'append does not ask for the floor, only for the clock',
    { append: [[arrivalStatement, 'arrival := tidemark.clock();'], afterPlaces] },
  ],
  [
    'append runs at REPEATABLE READ',
    {
      append: [[/<> 'read committed'/, "= 'serializable'"], beforeLock],
      settings: { default_transaction_isolation: 'repeatable read' },
    },
  ],
  [
    'append compares one reading of the clock with the floor and places events by an older one',
    {
      append: [
        [/arrival bigint;/, '$& stamp bigint := tidemark.clock();'],
        beforeLock,
        [
          'least(r.event_time, arrival), arrival - s.watermark_delay',
          'least(r.event_time, stamp), stamp - s.watermark_delay',
        ],
      ],
    },
  ],
  [
    'publish reads the clock once more',
    {
      append: [afterPlaces],
      publish: [
        ['SELECT f.published INTO STRICT before', 'PERFORM pg_sleep(0.02); $&'],
        ['greatest(before, raised)', 'greatest(before, raised, tidemark.clock())'],
        // Held streams, too: with appends that pause they are held nearly always.
        ['d.floor - s.watermark_delay', 'tidemark.clock() - s.watermark_delay'],
      ],
      steadyClock: true,
    },
  ],
];

test('G6 a reader that follows the watermark misses nothing, wherever appends pause and whatever the clock does', async () => {
  const { missed, read } = await torture(product, { ms: 4_000 }, createRandom());
  expect(missed).toEqual([]);
  expect(read).toBeGreaterThan(100);
});

test.each(mistakes)(
  'the checker is itself checked: a reader misses events when %s',
  async (_title, variant) => {
    // Most are caught within 500 events. How long that takes says something of the machine only.
    const { missed, read, ms } = await torture(variant, { events: 10_000 }, createRandom());
    console.log(`caught after ${ms} ms, ${read} events read`);
    expect(missed).not.toEqual([]);
  },
  120_000,
);

interface Limit {
  readonly ms?: number;
  /** That have been read. */
  readonly events?: number;
}

/** Runs until an event has come in behind the reader's back, or up to a limit. */
async function torture(variant: Variant, limit: Limit, random: Random) {
  const store = await createStoreCase();
  const stopped = new AbortController();
  const startedMs = performance.now();
  try {
    await installClock(store.sql);
    await editFunction(store.sql, 'append', variant.append);
    if (variant.publish !== undefined) await editFunction(store.sql, 'publish', variant.publish);
    const streamIds = [
      await store.makeStream('prompt', 0n),
      await store.makeStream('patient', 20_000n),
    ] as const;
    const writers = store.connect(8, variant.settings);
    const control = store.connect(3);
    const readers = streamIds.map((streamId) => createReader(store.sql, streamId, random));

    const loops = [
      ...Array.from({ length: 8 }, () => () => write(writers, streamIds, random)),
      ...[0, 1].map(() => tickWith(control)),
      ...readers.map((reader) => () => reader.read()),
      ...(variant.steadyClock ? [] : [() => stepClock(store.sql, random)]),
    ];
    const running = loops.map(async (turn) => {
      while (!stopped.signal.aborted) await turn();
    });
    const missed: string[] = [];
    const read = () => readers.reduce((sum, reader) => sum + reader.count(), 0);
    const isOver = () =>
      performance.now() - startedMs >= (limit.ms ?? Infinity) || read() >= (limit.events ?? Infinity);
    while (missed.length === 0 && !isOver()) {
      await Promise.race([sleep(50), ...running]);
      for (const reader of readers) missed.push(...(await reader.findMissed()));
    }
    stopped.abort();
    await Promise.all(running);
    for (const reader of readers) missed.push(...(await reader.findMissed()));
    return { missed, read: read(), ms: Math.round(performance.now() - startedMs) };
  } finally {
    stopped.abort();
    await store.close();
  }
}

async function installClock(sql: Sql): Promise<void> {
  await sql`create table public.clock (steps bigint not null)`;
  await sql`insert into public.clock values (0)`;
  await editFunction(sql, 'clock', [
    [
      /\$function\$ *SELECT ([\s\S]*?) *\$function\$/,
      '$function$ SELECT $1 + (SELECT steps FROM public.clock) $function$',
    ],
  ]);
}

/** To and fro by up to 100 ms. */
async function stepClock(sql: Sql, random: Random): Promise<void> {
  await sql`update public.clock set steps = ${BigInt(random.below(100_000))}`;
  await sleep(20 + random.below(30));
}

function tickWith(sql: Sql): () => Promise<void> {
  const advancer = createAdvancer(sql, {
    wallMicros: () => BigInt(Date.now()) * 1_000n,
    monotonicMs: () => performance.now(),
    sleep: (ms) => sleep(ms),
    drainMs: 10,
    staleHolderMs: 10_000,
  });
  return async () => {
    await advancer.tick();
    await sleep(2);
  };
}

async function write(sql: Sql, streamIds: readonly [number, number], random: Random): Promise<void> {
  const now = BigInt(Date.now()) * 1_000n;
  const rows = Array.from({ length: 1 + random.below(3) }, () =>
    createRow({ eventTime: now - BigInt(random.below(60_000)) }),
  );
  const sorted = rows.sort((a, b) => Number(a.eventTime - b.eventTime));
  try {
    await appendRows(
      sql,
      sorted,
      sorted.map(() => random.oneOf(streamIds)),
    );
  } catch (error) {
    // At REPEATABLE READ appends fail each other.
    if (failureOf(error) !== 'transient') throw error;
  }
}

/** Goes after the watermark page by page, and knows what it has been given. */
function createReader(sql: Sql, streamId: number, random: Random) {
  const seen = new Set<string>();
  let after: Position = { orderTime: BigInt(Date.now() - 86_400_000) * 1_000n, seq: 0n };
  return {
    count: () => seen.size,
    async read() {
      const limit = 1 + random.below(20);
      const piece = await readPiece(sql, {
        streamId,
        after,
        until: (1n << 63n) - 1n,
        limit,
        maxBytes: 1_000_000,
        filter: undefined,
      });
      if (piece === undefined) throw new Error('the stream is gone');
      for (const event of piece.events) {
        if (seen.has(event.id)) throw new Error(`given twice: ${event.id}`);
        if (event.orderTime < after.orderTime) throw new Error(`out of order: ${event.id}`);
        seen.add(event.id);
        after = event;
      }
      const { watermark } = piece.head;
      if (piece.events.length < limit && watermark > after.orderTime)
        after = { orderTime: watermark, seq: 0n };
    },
    /** Events that are stored before the place where the reader is, and were never given to it. */
    async findMissed() {
      const place = after;
      const given = new Set(seen);
      const rows = await sql<{ id: string }[]>`
        select id from tidemark.events
        where stream_id = ${streamId} and (order_time, seq) <= (${place.orderTime}, ${place.seq})`;
      return rows.map(({ id }) => id).filter((id) => !given.has(id));
    },
  };
}
