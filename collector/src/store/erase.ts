import type { Sql } from './database.ts';
import { failureOf } from './failure.ts';
import { blameOf } from './failure.ts';

/**
 * Erases what is stored about one key of a stream: first the mark, which every append sees that takes the lock of the stream from then
 * on; then, when those that took it before are gone, a walk over what is stored, in small steps. A walk may be interrupted anywhere and
 * goes on where it was, in whichever collector: see the migration for why nothing is left out.
 */
export interface Erasures {
  /** Marks a key, or marks it anew, from the beginning of the stream. `full`: there are too many marks. `gone`: the stream was deleted. */
  begin(streamId: number, key: string): Promise<'begun' | 'full' | 'gone'>;
  find(streamId: number, key: string): Promise<Erasure | undefined>;
  /** Works for about so many milliseconds, and less where it is done. Undefined: the stream is gone. */
  advance(streamId: number, key: string, budgetMs: number): Promise<Erasure | undefined>;
}

/** Times are microseconds. */
export interface Erasure {
  readonly streamId: number;
  readonly key: string;
  /** Every event received up to here is erased. */
  readonly erasedThrough: bigint;
  readonly drained: boolean;
  /** How far the walk has come, and how far it goes, as order times. */
  readonly walkedTo: bigint;
  readonly until: bigint;
  /** Events and dead letters so far. */
  readonly erased: bigint;
  readonly letters: bigint;
  readonly done: boolean;
}

export interface ErasuresOptions {
  readonly monotonicMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly marksMax: number;
  /** Events and dead letters that one statement looks at. */
  readonly stepRows: number;
}

export const erasuresDefaults = { marksMax: 1_000_000, stepRows: 10_000 };

/** A mark reaches so far beyond its moment: clocks of collectors may be a little ahead of the database's. */
const aheadMicros = 1_000_000;
const drainLookMs = 20;
const stepRowsMin = 10;

export function createErasures(sql: Sql, options: ErasuresOptions): Erasures {
  const { monotonicMs, sleep, marksMax, stepRows } = options;

  async function find(streamId: number, key: string): Promise<Erasure | undefined> {
    const [row] = await sql<ErasureRow[]>`
      select stream_id, key, erased_through, drained, order_time, until, erased, letters, done_at is not null as done
      from tidemark.erasures where stream_id = ${streamId} and key = ${key}`;
    return row === undefined ? undefined : erasureOf(row);
  }

  /** Waits until nobody holds the stream who may not have seen the mark; false: not before the deadline. */
  async function drain({ streamId, key, erasedThrough }: Erasure, deadlineMs: number): Promise<boolean> {
    const holders = async () => {
      const rows = await sql<{ holder: string }[]>`
        select holder from tidemark.holders() where stream_id = ${streamId}`;
      return rows.map(({ holder }) => holder);
    };
    let left = await holders();
    while (left.length > 0) {
      if (monotonicMs() >= deadlineMs) return false;
      await sleep(drainLookMs);
      const now = await holders();
      left = left.filter((holder) => now.includes(holder));
    }
    // A mark that was raised meanwhile has to be drained anew.
    await sql`
      update tidemark.erasures set drained = true, until = coalesce(
        (select order_time from tidemark.events where stream_id = ${streamId} order by order_time desc limit 1), until)
      where stream_id = ${streamId} and key = ${key} and erased_through = ${erasedThrough}`;
    return true;
  }

  /** Very large events may take too long for a statement: then it looks at fewer. Answers with how many that were. */
  async function step(streamId: number, key: string, rows: number): Promise<number> {
    try {
      await sql`select tidemark.erase_step(${streamId}::integer, ${key}, ${rows}::integer)`;
      return rows;
    } catch (error) {
      if (failureOf(error) !== 'stalled' || rows <= stepRowsMin) throw error;
      return step(streamId, key, Math.max(stepRowsMin, rows >> 2));
    }
  }

  return {
    find,
    async begin(streamId, key) {
      const marking = sql`
        insert into tidemark.erasures as e (stream_id, key, erased_through)
        select ${streamId}::integer, ${key}, tidemark.clock() + ${aheadMicros}::bigint
        where (select count(*) from (select from tidemark.erasures limit ${marksMax}::integer) marks) < ${marksMax}::integer
          or exists (select from tidemark.erasures where stream_id = ${streamId}::integer and key = ${key})
        on conflict (stream_id, key) do update set
          erased_through = greatest(e.erased_through + 1, excluded.erased_through), order_time = excluded.order_time, seq = excluded.seq, until = excluded.until,
          letter_id = excluded.letter_id, erased = 0, letters = 0, drained = false, done_at = null
        returning 1`;
      try {
        return (await marking).length === 0 ? 'full' : 'begun';
      } catch (error) {
        if (blameOf(error) === 'gone') return 'gone';
        throw error;
      }
    },
    async advance(streamId, key, budgetMs) {
      const deadlineMs = monotonicMs() + budgetMs;
      let erasure = await find(streamId, key);
      if (erasure === undefined || erasure.done) return erasure;
      if (!erasure.drained && !(await drain(erasure, deadlineMs))) return erasure;
      let rows = stepRows;
      do {
        rows = await step(streamId, key, rows);
        erasure = await find(streamId, key);
      } while (erasure?.done === false && monotonicMs() < deadlineMs);
      return erasure;
    },
  };
}

/** An erasure of more than a minute ago that is not finished: whoever asked for it may have gone away. */
export async function findUnfinished(sql: Sql): Promise<{ streamId: number; key: string } | undefined> {
  const [row] = await sql<{ stream_id: number; key: string }[]>`
    select stream_id, key from tidemark.erasures
    where done_at is null and erased_through < tidemark.clock() - 60000000 order by erased_through limit 1`;
  return row === undefined ? undefined : { streamId: row.stream_id, key: row.key };
}

/** Marks are good for so long: nothing that was received before them comes later than that. */
const markDays = 400;

/** Deletes marks of long ago, and says how many. */
export async function expireMarks(sql: Sql, most: number): Promise<number> {
  const rows = await sql`
    delete from tidemark.erasures where (stream_id, key) in (
      select stream_id, key from tidemark.erasures
      where erased_through < tidemark.clock() - ${markDays}::bigint * 86400000000 and done_at is not null
      order by erased_through limit ${most}::integer
    ) returning 1`;
  return rows.length;
}

interface ErasureRow {
  readonly stream_id: number;
  readonly key: string;
  readonly erased_through: bigint;
  readonly drained: boolean;
  readonly order_time: bigint;
  readonly until: bigint;
  readonly erased: bigint;
  readonly letters: bigint;
  readonly done: boolean;
}

function erasureOf(row: ErasureRow): Erasure {
  return {
    streamId: row.stream_id,
    key: row.key,
    erasedThrough: row.erased_through,
    drained: row.drained,
    walkedTo: row.order_time,
    until: row.until,
    erased: row.erased,
    letters: row.letters,
    done: row.done,
  };
}
