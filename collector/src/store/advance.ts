import type { Sql } from './database.ts';

/**
 * The advancer: raise, capture, wait, publish (the fence's account is in the migrations).
 *
 * A tick waits up to `drainMs` for the holders it captured. A stream that is not drained by then is held at its watermark, so
 * that the others go on, and its raise and its holders are kept as `pending`: at the next ticks we look again whether those
 * very holders are gone. (Capturing anew each time would never end while appends of more than a tick overlap.) Each tick adds
 * its own raise and takes the newest that is drained, so that the watermark follows a tick behind the appends however long they
 * are. A pending raise is valid under one hold: the one we saw at its capture, or placed with it.
 */
export interface Advancer {
  /** One round. Returns the floor that is published now. */
  tick(): Promise<bigint>;
}

export interface AdvanceOptions {
  /** Wall clock of this process, microseconds: contradicts a database clock that jumps. */
  readonly wallMicros: () => bigint;
  readonly monotonicMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Longest wait for holders within a tick, in milliseconds. */
  readonly drainMs: number;
  /** Holders of our own role that are older are ended, in milliseconds. */
  readonly staleHolderMs: number;
}

export const advanceDefaults = { drainMs: 250, staleHolderMs: 10_000 } as const;

interface Pending {
  readonly floor: bigint;
  readonly hold: number;
  readonly holders: ReadonlySet<string>;
}

export function createAdvancer(sql: Sql, options: AdvanceOptions): Advancer {
  /** By stream, oldest raise first. */
  let pending = new Map<number, readonly Pending[]>();
  /** When the holders that raises wait for were first seen. */
  let seenMs = new Map<string, number>();

  return {
    async tick() {
      const floor = await raise(sql, options.wallMicros());
      const captured = await capture(sql);
      const capturedMs = options.monotonicMs();
      // A stream that kept us waiting once is only looked at, so that one slow stream does not slow down every tick.
      const awaited = [...captured.holders].filter(([streamId]) => !pending.has(streamId));
      const remaining = await drain(
        sql,
        new Set(awaited.flatMap(([, holders]) => [...holders])),
        pending.size > 0,
        options,
      );
      /** How many of these holders there still are. All that are left of one capture are in every later one, too. */
      const left = (holders: ReadonlySet<string>) =>
        [...holders].filter((holder) => remaining.has(holder)).length;

      const slow: number[] = [];
      for (const [streamId, holders] of captured.holders) if (left(holders) > 0) slow.push(streamId);

      const drained: { streamId: number; hold: number; floor: bigint }[] = [];
      const waiting = new Map<number, readonly Pending[]>();
      for (const [streamId, hold] of captured.held) {
        const holders = captured.holders.get(streamId) ?? none;
        const earlier = (pending.get(streamId) ?? []).filter((one) => one.hold === hold);
        const raises = [...earlier, { floor, hold, holders }];
        const newest = raises.findLastIndex((one) => left(one.holders) === 0);
        const found = raises[newest];
        if (found !== undefined) drained.push({ streamId, hold, floor: found.floor });
        // A raise is of use only while a later one waits for more. So there are never more of them than appends under way.
        const rest = raises.slice(newest + 1);
        const useful = rest.filter(
          (one, place) => left(one.holders) !== left(rest[place + 1]?.holders ?? none),
        );
        if (useful.length > 0) waiting.set(streamId, useful);
      }

      const published = await publish(sql, floor, slow, drained);
      for (const streamId of published.placed) {
        const hold = published.held.get(streamId);
        const holders = captured.holders.get(streamId);
        if (hold !== undefined && holders !== undefined) {
          waiting.set(streamId, [{ floor, hold, holders }]);
        }
      }
      pending = waiting;
      const awaitedStill = [...pending.values()].flat().flatMap(({ holders }) => [...holders]);
      seenMs = new Map(
        awaitedStill
          .filter((holder) => remaining.has(holder))
          .map((holder) => [holder, seenMs.get(holder) ?? capturedMs]),
      );
      await endStale(sql, seenMs, options);
      return published.floor;
    },
  };
}

const none: ReadonlySet<string> = new Set();

async function raise(sql: Sql, witness: bigint): Promise<bigint> {
  const [row] = await sql<
    [{ floor: bigint }]
  >`select tidemark.raise_floor(${witness.toString()}::bigint) as floor`;
  return row.floor;
}

async function capture(sql: Sql) {
  const [row] = await sql<
    [
      {
        holder_streams: string | null;
        holders: string | null;
        held_streams: string | null;
        holds: string | null;
      },
    ]
  >`select holder_streams::text, holders::text, held_streams::text, holds::text from tidemark.capture()`;
  const holders = new Map<number, Set<string>>();
  const names = elements(row.holders);
  elements(row.holder_streams).forEach((streamId, index) => {
    const set = holders.get(Number(streamId)) ?? new Set<string>();
    set.add(names[index] ?? '');
    holders.set(Number(streamId), set);
  });
  return { holders, held: pairs(row.held_streams, row.holds) };
}

/** Waits until these holders are gone, or the deadline; returns all holders there are then. */
async function drain(
  sql: Sql,
  awaited: ReadonlySet<string>,
  lookAnyway: boolean,
  options: AdvanceOptions,
): Promise<ReadonlySet<string>> {
  if (awaited.size === 0 && !lookAnyway) return none;
  const deadlineMs = options.monotonicMs() + options.drainMs;
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 25)) {
    const rows = await sql<{ holder: string }[]>`select distinct holder from tidemark.holders()`;
    const left = new Set(rows.map((row) => row.holder));
    if (![...awaited].some((holder) => left.has(holder)) || options.monotonicMs() >= deadlineMs) return left;
    await options.sleep(pauseMs);
  }
}

async function publish(
  sql: Sql,
  floor: bigint,
  slow: readonly number[],
  drained: readonly { streamId: number; hold: number; floor: bigint }[],
) {
  const [row] = await sql<
    [{ published: bigint; held_streams: string | null; holds: string | null; placed_streams: string | null }]
  >`
    select published, held_streams::text, holds::text, placed_streams::text from tidemark.publish(
      ${floor.toString()}::bigint,
      ${list(slow)}::text::integer[],
      ${list(drained.map((one) => one.streamId))}::text::integer[],
      ${list(drained.map((one) => one.hold))}::text::integer[],
      ${list(drained.map((one) => one.floor))}::text::bigint[]
    )`;
  return {
    floor: row.published,
    held: pairs(row.held_streams, row.holds),
    placed: elements(row.placed_streams).map(Number),
  };
}

async function endStale(
  sql: Sql,
  seenMs: ReadonlyMap<string, number>,
  options: AdvanceOptions,
): Promise<void> {
  const nowMs = options.monotonicMs();
  const stale = [...seenMs].filter(([, sinceMs]) => nowMs - sinceMs > options.staleHolderMs);
  if (stale.length === 0) return;
  await sql`select tidemark.end_holders(${list(stale.map(([holder]) => holder))}::text::text[])`;
}

/** Postgres arrays of numbers and of virtual transaction ids ("3/17") need no quoting. */
function list(values: readonly (number | bigint | string)[]): string {
  return `{${values.join(',')}}`;
}

function elements(array: string | null): readonly string[] {
  return array === null || array === '{}' ? [] : array.slice(1, -1).split(',');
}

function pairs(streamIds: string | null, holds: string | null): ReadonlyMap<number, number> {
  const values = elements(holds);
  return new Map(elements(streamIds).map((streamId, index) => [Number(streamId), Number(values[index])]));
}
