import type { Sql } from './database.ts';

/**
 * Takes away partitions that no stream needs any more.
 *
 *   needed by none → noted → (a while later) closed → looked at once more → detached → dropped
 *
 * It is noted when the retained marks of all streams that have events there have passed it. A closed partition takes no new
 * event, so that what the second look finds is all there will ever be; an append that needs it fails and comes again. Detaching is
 * done concurrently: it blocks nobody, and when it is interrupted (it waits for the statements that run) what it began is
 * finished the next time. A step that fails is repeated by the next run, whoever that is.
 */
export interface LeavingPartitions {
  /** Looks at a few partitions and goes on with those that are leaving. The names of those that were dropped. */
  run(): Promise<readonly string[]>;
}

export interface LeavingPartitionsOptions {
  /** Between the first look and the second, in microseconds. */
  readonly leaveAfterMicros: bigint;
}

/** A minute: a read that knew older marks has long ended, as each of its statements may take 30 seconds at most. */
export const leaveAfterMicros = 60_000_000n;

const looksPerRun = 4;
const dropsPerRun = 4;

interface Leaving {
  readonly partition: string;
  readonly lower: bigint | null;
  readonly upper: bigint;
  readonly detaching: boolean;
}

export function createLeavingPartitions(sql: Sql, options: LeavingPartitionsOptions): LeavingPartitions {
  /** Where the last run stopped looking. */
  let looked: bigint | undefined;

  async function look(): Promise<void> {
    const found = await sql<{ partition: string; upper: bigint }[]>`
      select p.partition, p.upper from tidemark.partitions() p
      where p.upper <= (select max(s.retained_mark) from tidemark.streams s) and not p.detaching
        and not exists (select from tidemark.leaving_partitions l where l.partition = p.partition)
      order by p.upper`;
    const next = found.filter(({ upper }) => looked === undefined || upper > looked);
    const turn = [...next, ...found.slice(0, found.length - next.length)].slice(0, looksPerRun);
    for (const { partition, upper } of turn) {
      if ((await neededBy(sql, partition, upper)) === null) {
        await sql`
          insert into tidemark.leaving_partitions (partition, upper)
          values (${partition}, ${upper.toString()}::bigint) on conflict do nothing`;
      }
      looked = upper;
    }
  }

  async function due(): Promise<readonly Leaving[]> {
    return sql<Leaving[]>`
      select l.partition, p.lower, l.upper, coalesce(p.detaching, false) as detaching
      from tidemark.leaving_partitions l left join tidemark.partitions() p using (partition)
      where l.since <= tidemark.clock() - ${options.leaveAfterMicros.toString()}::bigint
      order by detaching desc, l.upper limit ${dropsPerRun}`;
  }

  return {
    async run() {
      await look();
      const dropped: string[] = [];
      // One that is being detached comes first: Postgres detaches only one at a time.
      for (const leaving of await due()) if (await leave(sql, leaving)) dropped.push(leaving.partition);
      return dropped;
    },
  };
}

/** False: it is needed after all. */
async function leave(sql: Sql, { partition, lower, upper, detaching }: Leaving): Promise<boolean> {
  if (detaching) {
    await sql.unsafe(`alter table tidemark.events detach partition tidemark."${partition}" finalize`);
  } else if (lower !== null) {
    await sql`select tidemark.close_partition(${partition})`;
    if ((await neededBy(sql, partition, upper)) !== null) {
      await sql`select tidemark.reopen_partition(${partition}, ${lower.toString()}::bigint)`;
      return false;
    }
    // Not in a transaction, and so not in a function.
    await sql.unsafe(`alter table tidemark.events detach partition tidemark."${partition}" concurrently`);
  }
  await sql`select tidemark.drop_partition(${partition})`;
  return true;
}

async function neededBy(sql: Sql, partition: string, upper: bigint): Promise<number | null> {
  const [row] = await sql<
    [{ stream_id: number | null }]
  >`select tidemark.needed_by(${partition}, ${upper.toString()}::bigint) as stream_id`;
  return row.stream_id;
}
