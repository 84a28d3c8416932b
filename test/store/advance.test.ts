import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Advancer, type AdvanceOptions, createAdvancer } from '../../collector/src/store/advance.ts';
import type { Sql } from '../../collector/src/store/database.ts';
import { failureOf } from '../../collector/src/store/failure.ts';
import { eventually } from '../harness/eventually.ts';
import {
  createRow,
  createStoreCase,
  type Holder,
  holdStream,
  type StoreCase,
} from '../harness/store-case.ts';

const second = 1_000_000n;

let store: StoreCase;
/** Where the clock of the database stands when a test begins: an hour after the test before. */
let start = BigInt(Math.ceil(Date.now() / 1_000)) * second;

beforeAll(async () => {
  store = await createStoreCase();
});

afterAll(async () => {
  await store.close();
});

beforeEach(async () => {
  start += 3_600n * second;
  await store.setClock(start);
  await createCase().tick();
});

/** An advancer with a monotonic clock that the test moves. By default it looks at holders once and does not wait. */
function createCase(options: Partial<AdvanceOptions> = {}, sql: Sql = store.connect(1)) {
  const counts = { sleeps: 0 };
  let nowMs = 0;
  const advancer = createAdvancer(sql, {
    wallMicros: () => start,
    monotonicMs: () => nowMs,
    sleep: async () => {
      counts.sleeps += 1;
      await sleep(1);
    },
    drainMs: 0,
    staleHolderMs: 10_000,
    ...options,
  });
  return {
    ...advancer,
    counts,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe('the watermark', () => {
  test('G9 follows the clock by the delay of each stream, on streams nobody writes to', async () => {
    const prompt = await store.makeStream('prompt', 0n);
    const patient = await store.makeStream('patient', 5n * second);
    const advancer = createCase();
    for (let now = start; now < start + 10n * second; now += second) {
      await store.setClock(now);
      expect(await advancer.tick()).toBe(now);
      expect([await store.watermark(prompt), await store.watermark(patient)]).toEqual([
        now,
        now - 5n * second,
      ]);
    }
  });

  test('G6 waits until those who may still write below it are gone', async () => {
    const streamId = await store.makeStream('waits', 0n);
    const holder = await holdStream(store.sql, streamId);
    await holder.append([createRow({ eventTime: start })]);
    await store.setClock(start + second);
    const advancer = createCase({ drainMs: 60_000 });
    const before = await store.watermark(streamId);
    const tick = advancer.tick();
    await eventually('the tick looks at the holder again and again', () => advancer.counts.sleeps > 5);
    expect(await store.watermark(streamId)).toBe(before);
    await holder.commit();
    expect(await tick).toBe(start + second);
    expect(await store.watermark(streamId)).toBe(start + second);
  });

  test('does not wait for those who began after its floor was raised', async () => {
    const streamId = await store.makeStream('busy', 0n);
    const early = await holdStream(store.sql, streamId);
    const advancer = createCase({ drainMs: 60_000 });
    await store.setClock(start + second);
    const tick = advancer.tick();
    await eventually('the tick waits', () => advancer.counts.sleeps > 0);
    const later = await holdStream(store.sql, streamId);
    await early.commit();
    await tick;
    expect(await store.watermark(streamId)).toBe(start + second);
    await later.commit();
  });

  test('G9 of a stream whose holder stays is held, that of others goes on, and later ticks do not wait for it', async () => {
    const slow = await store.makeStream('slow', 0n);
    const other = await store.makeStream('other', 0n);
    const before = await store.watermark(slow);
    const holder = await holdStream(store.sql, slow);
    const advancer = createCase({ drainMs: 3 });
    for (let turn = 1n; turn <= 3n; turn++) {
      await store.setClock(start + turn * second);
      const sleeps = advancer.counts.sleeps;
      const tick = advancer.tick();
      if (turn === 1n) {
        await eventually('the first tick waits', () => advancer.counts.sleeps > sleeps);
        advancer.pass(5);
      }
      await tick;
      if (turn > 1n) expect(advancer.counts.sleeps).toBe(sleeps);
      expect(await store.watermark(slow)).toBe(before);
      expect(await store.watermark(other)).toBe(start + turn * second);
    }
    await holder.commit();
    await advancer.tick();
    expect(await store.watermark(slow)).toBe(start + 3n * second);
    expect(await holds(slow)).toEqual({ held: null, hold: 1 });
  });

  test('G9 moves on under steady appends of 400 ms that overlap, for as long as they last', async () => {
    const streamId = await store.makeStream('steady', 0n);
    const advancer = createCase();
    const lags = await runOverlapping(streamId, advancer, 100);
    expect(Math.max(...lags)).toBeLessThanOrEqual(1_250);
  });

  test('would stand still under them if each tick captured the holders anew', async () => {
    const streamId = await store.makeStream('steady-naive', 0n);
    const control = store.connect(1);
    const lags = await runOverlapping(streamId, { tick: () => createCase({}, control).tick() }, 30);
    expect(Math.max(...lags)).toBeGreaterThanOrEqual(2_500);
  });

  test('G9 of many streams that are held for different times comes back one by one', async () => {
    const advancer = createCase();
    const streamIds: number[] = [];
    const holders: Holder[] = [];
    const sessions = store.connect(6, { idle_in_transaction_session_timeout: 0 });
    for (let number = 0; number < 6; number++) {
      const streamId = await store.makeStream(`stream-${number}`, 0n);
      streamIds.push(streamId);
      holders.push(await holdStream(sessions, streamId));
    }
    for (let turn = 1n; turn <= 7n; turn++) {
      await store.setClock(start + turn * second);
      await advancer.tick();
      const watermarks = await Promise.all(streamIds.map((streamId) => store.watermark(streamId)));
      const moved = watermarks.map((watermark) => watermark === start + turn * second);
      expect(moved).toEqual(streamIds.map((_, index) => BigInt(index) < turn - 1n));
      await holders[Number(turn) - 1]?.commit();
    }
  });

  /** Ticks every 100 ms beside writers of 400 ms of which two always overlap; answers how far the watermark was behind, in ms. */
  async function runOverlapping(
    streamId: number,
    advancer: Advancer,
    ticks: number,
  ): Promise<readonly number[]> {
    const sessions = store.connect(4, { idle_in_transaction_session_timeout: 0 });
    const holders: Holder[] = [];
    const lags: number[] = [];
    for (let turn = 0; turn < ticks; turn++) {
      const now = start + BigInt(turn) * 100_000n;
      await store.setClock(now);
      if (turn % 2 === 0) {
        const next = await holdStream(sessions, streamId);
        await next.append([createRow({ eventTime: now })]);
        holders.push(next);
        if (holders.length > 2) await holders.shift()?.commit();
      }
      await advancer.tick();
      lags.push(Number(now - (await store.watermark(streamId))) / 1_000);
    }
    for (const holder of holders) await holder.commit();
    return lags;
  }
});

describe('several advancers', () => {
  test('G9 move the watermark of a held stream whichever of them placed the hold, and when the one that did is gone', async () => {
    const streamId = await store.makeStream('held-by-two', 0n);
    const holder = await holdStream(store.sql, streamId);
    const first = createCase();
    const second = createCase();
    await store.setClock(start + 1_000_000n);
    await first.tick();
    await second.tick();
    expect(await holds(streamId)).toEqual({ held: start, hold: 1 });
    await holder.commit();
    await store.setClock(start + 2_000_000n);
    await second.tick();
    expect(await store.watermark(streamId)).toBe(start + 2_000_000n);
  });

  test('G6 do not release a hold that another has placed since they looked', async () => {
    const streamId = await store.makeStream('held-since', 0n);
    const placing = createCase();
    const [floor] = await store.sql<[{ floor: bigint }]>`select tidemark.raise_floor(${start}) as floor`;
    const holder = await holdStream(store.sql, streamId);
    await store.setClock(start + second);
    await placing.tick();
    // What an advancer would do that saw the stream without a holder before that, under the hold before this one.
    await store.sql`select tidemark.publish(${floor.floor}, '{}', array[${streamId}]::integer[], '{0}', array[${start + 9n * second}]::bigint[])`;
    expect(await holds(streamId)).toEqual({ held: start, hold: 1 });
    await holder.commit();
  });

  test('G6 never move the watermark back when one publishes a floor that is older than what is published', async () => {
    const streamId = await store.makeStream('older', 0n);
    await store.setClock(start + 5n * second);
    await createCase().tick();
    await store.sql`select tidemark.publish(${start}, '{}', '{}', '{}', '{}')`;
    expect(await store.watermark(streamId)).toBe(start + 5n * second);
  });
});

describe('a holder', () => {
  test('of our own that is older than the limit is ended, not before', async () => {
    const streamId = await store.makeStream('stale', 0n);
    const session = store.connect(1, { idle_in_transaction_session_timeout: 0 });
    const holder = await holdStream(session, streamId);
    await holder.append([createRow()]);
    const advancer = createCase({ staleHolderMs: 10_000 });
    await advancer.tick();
    advancer.pass(9_999);
    await advancer.tick();
    expect(await holderCount()).toBe(1);
    advancer.pass(2);
    await advancer.tick();
    await eventually('the holder is gone', async () => (await holderCount()) === 0);
    await store.setClock(start + second);
    await advancer.tick();
    expect(await store.watermark(streamId)).toBe(start + second);
    expect(failureOf(await holder.commit().catch((error: unknown) => error))).toBe('unavailable');
  });

  test('is one transaction: the next one of the same session is another', async () => {
    const streamId = await store.makeStream('session', 0n);
    const session = store.connect(1, { idle_in_transaction_session_timeout: 0 });
    const advancer = createCase({ staleHolderMs: 1_000 });
    let holder = await holdStream(session, streamId);
    for (let turn = 1n; turn <= 5n; turn++) {
      await advancer.tick();
      await holder.commit();
      holder = await holdStream(session, streamId);
      await store.setClock(start + turn * second);
      advancer.pass(900);
    }
    expect(await holderCount()).toBe(1);
    expect(await store.watermark(streamId)).toBeGreaterThanOrEqual(start + 3n * second);
    await holder.commit();
  });

  test('in another database of the server is none of ours', async () => {
    const streamId = await store.makeStream('here', 0n);
    const other = await createStoreCase();
    try {
      const holder = await holdStream(other.sql, streamId);
      await store.setClock(start + second);
      await createCase().tick();
      await holder.commit();
      expect(await store.watermark(streamId)).toBe(start + second);
    } finally {
      await other.close();
    }
  });

  const holderCount = async (): Promise<number> => (await store.sql`select from tidemark.holders()`).length;
});

describe('a tick that fails', () => {
  test.each(['raise_floor', 'capture', 'holders', 'publish'])(
    'at %s, before or after the database did it, is followed by a good one',
    async (call) => {
      const streamId = await store.makeStream(`cut-${call}`, 0n);
      const sql = store.connect(1);
      let holder: Holder | undefined = await holdStream(store.sql, streamId);
      for (const moment of ['before', 'after'] as const) {
        const cut = cutOnce(sql, call, moment);
        const advancer = createCase({}, cut.sql);
        await advancer.tick();
        cut.arm();
        expect(failureOf(await advancer.tick().catch((error: unknown) => error))).toBe('unavailable');
        await holder?.commit();
        holder = undefined;
        const now = start + (moment === 'before' ? second : 2n * second);
        await store.setClock(now);
        const succeeds = () =>
          advancer.tick().then(
            () => true,
            () => false,
          );
        await eventually('a good tick', succeeds);
        await advancer.tick();
        expect(await store.watermark(streamId)).toBe(now);
        holder = await holdStream(store.sql, streamId);
      }
      await holder?.commit();
    },
  );
});

test('ten thousand idle streams cost a tick as much as ten: the same statements, no row written, no more pages read', async () => {
  // A database of its own, because what other tests did there would be counted.
  const other = await createStoreCase();
  try {
    const costs: Cost[] = [];
    for (const streams of [10, 9_990]) {
      await other.sql`
        insert into tidemark.streams (name, watermark_delay)
        select 'stream-' || ${streams}::text || '-' || n, 5000000 from generate_series(1, ${streams}::integer) n`;
      costs.push(await costOf(other.connect(1), 20));
    }
    const [few, many] = costs;
    console.log(`20 ticks with 10 streams: ${JSON.stringify(few)}, with 10,000: ${JSON.stringify(many)}`);
    expect(many?.statements).toBe(few?.statements);
    expect([few?.updated, many?.updated]).toEqual([0, 0]);
    expect(many?.pages).toBeLessThanOrEqual((few?.pages ?? 0) + 20);
  } finally {
    await other.close();
  }
});

interface Cost {
  readonly statements: number;
  readonly updated: number;
  readonly pages: number;
}

/** What so many ticks cost, and do to the table of streams. */
async function costOf(sql: Sql, ticks: number): Promise<Cost> {
  const statistics = async (): Promise<{ updated: number; pages: number }> => {
    await sql`select pg_stat_force_next_flush()`;
    const [row] = await sql<[{ updated: number; pages: number }]>`
      select t.n_tup_upd::integer as updated,
        (io.heap_blks_hit + io.heap_blks_read + io.idx_blks_hit + io.idx_blks_read)::integer as pages
      from pg_stat_user_tables t join pg_statio_user_tables io using (relid)
      where t.schemaname = 'tidemark' and t.relname = 'streams'`;
    return row;
  };
  let statements = 0;
  const advancer = createCase(
    {},
    watch(sql, () => {
      statements += 1;
    }),
  );
  await advancer.tick();
  const before = await statistics();
  statements = 0;
  for (let turn = 0; turn < ticks; turn++) await advancer.tick();
  const used = statements;
  const after = await statistics();
  return { statements: used, updated: after.updated - before.updated, pages: after.pages - before.pages };
}

async function holds(streamId: number): Promise<{ held: bigint | null; hold: number }> {
  const [row] = await store.sql<[{ held: bigint | null; hold: number }]>`
    select held_watermark as held, hold from tidemark.streams where stream_id = ${streamId}`;
  return row;
}

/** The same connection, whose statements are seen on their way. */
function watch(sql: Sql, onStatement: (text: string) => void): Sql {
  return new Proxy(sql, {
    apply(target, self, parameters: unknown[]) {
      onStatement((parameters[0] as TemplateStringsArray).join('?'));
      return Reflect.apply(target, self, parameters) as unknown;
    },
  });
}

/** The same connection, which once is lost at a statement: before the database did it, or after, with the answer under way. */
function cutOnce(sql: Sql, call: string, moment: 'before' | 'after'): { sql: Sql; arm(): void } {
  let armed = false;
  return {
    arm() {
      armed = true;
    },
    sql: new Proxy(sql, {
      apply(target, self, parameters: unknown[]) {
        const hit = armed && (parameters[0] as TemplateStringsArray).join('?').includes(`tidemark.${call}(`);
        if (!hit) return Reflect.apply(target, self, parameters) as unknown;
        armed = false;
        return (async () => {
          if (moment === 'after') await (Reflect.apply(target, self, parameters) as Promise<unknown>);
          await sql`select pg_terminate_backend(pg_backend_pid())`;
        })();
      },
    }),
  };
}
