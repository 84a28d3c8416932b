import type { Sql } from './database.ts';
import { createErasures, erasuresDefaults, expireMarks, findUnfinished } from './erase.ts';
import { failureOf } from './failure.ts';
import { createLeavingPartitions, leaveAfterMicros } from './leaving-partitions.ts';
import { makePartitionsAhead } from './partitions.ts';
import { markStepMicros, publishMarks } from './retention.ts';
import { claimPagesMax, expireClaims, expireLetters, type Swept, sweepClaims, sweepEvents } from './sweep.ts';

/**
 * What keeps the tables in order: partitions for the days to come, retained marks, and the end of what they have passed.
 *
 * Of several collectors one does it at a time, and each may: the lock is a session's, so it is free when its holder dies, and
 * the server ends a session that says nothing for two minutes, as that of a stopped process does. Should two be at it all the
 * same, they do no harm: every step looks for itself at what there is to do.
 */
export interface Upkeep {
  /** A bounded piece of the work. Undefined: another collector is at it. Rejects when the lock cannot be asked for. */
  round(signal: AbortSignal): Promise<UpkeepReport | undefined>;
}

export interface UpkeepReport {
  readonly partitionsMade: number;
  /** Streams whose retained mark moved. */
  readonly marksMoved: number;
  readonly partitionsDropped: readonly string[];
  readonly eventsDeleted: number;
  readonly claimsDeleted: number;
  /** Dead letters that were too old. */
  readonly lettersDeleted: number;
  /** The beginning of the oldest daily partition, microseconds. */
  readonly oldest: bigint | undefined;
  readonly failures: readonly UpkeepFailure[];
  /** There is more to delete than one round takes. */
  readonly more: boolean;
}

export interface UpkeepFailure {
  readonly step: string;
  readonly error: unknown;
}

export interface UpkeepOptions {
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly monotonicMs: () => number;
  readonly markStepMicros: bigint;
  readonly leaveAfterMicros: bigint;
  /** So long a dead letter is kept, microseconds. */
  readonly deadLetterMicros: bigint;
  /** Most deletes of events, and as many of deleted streams' claims, in a round. */
  readonly deletesPerRound: number;
  /** The walk over the claims comes around in so many rounds at most. */
  readonly roundsPerClaimsWalk: number;
}

export const upkeepDefaults = {
  markStepMicros,
  leaveAfterMicros,
  deadLetterMicros: 30n * 86_400_000_000n,
  deletesPerRound: 50,
  roundsPerClaimsWalk: 720,
} as const;

/** Between two deletes, as a multiple of what the last one took, and at least so many milliseconds. */
const pauseFactor = 4;
const pauseMsMin = 20;
/** An erasure goes on for so many milliseconds between two pauses. */
const eraseMs = 200;
const marksPerRound = 5_000;

/** `sql` must be one connection: the lock is its session's. */
export function createUpkeep(sql: Sql, options: UpkeepOptions): Upkeep {
  const leaving = createLeavingPartitions(sql, options);

  async function work(signal: AbortSignal): Promise<UpkeepReport> {
    const failures: UpkeepFailure[] = [];
    async function step<T>(name: string, work: () => Promise<T>, otherwise: T): Promise<T> {
      // Without a connection the steps that are left have no chance either.
      if (signal.aborted || failures.some(({ error }) => failureOf(error) === 'unavailable'))
        return otherwise;
      try {
        return await work();
      } catch (error) {
        failures.push({ step: name, error });
        return otherwise;
      }
    }
    const partitionsMade = await step('make partitions', () => makePartitionsAhead(sql), 0);
    const marksMoved = await step('publish marks', () => publishMarks(sql, options.markStepMicros), 0);
    const partitionsDropped = await step('drop partitions', () => leaving.run(), []);
    const events = await step('sweep events', () => repeat(() => sweepEvents(sql), signal), nothing);
    const claims = await step('sweep claims', () => repeat(() => sweepClaims(sql), signal), nothing);
    const expired = await step('expire claims', () => walkClaims(signal), 0);
    const letters = await step(
      'expire dead letters',
      () => repeat(() => expireLetters(sql, options.deadLetterMicros), signal),
      nothing,
    );
    const erasing = await step('finish erasures', () => finishErasures(signal), false);
    const oldest = await step('look', () => readOldest(sql), undefined);
    return {
      partitionsMade,
      marksMoved,
      partitionsDropped,
      eventsDeleted: events.deleted,
      claimsDeleted: claims.deleted + expired,
      lettersDeleted: letters.deleted,
      oldest,
      failures,
      more: events.more || claims.more || letters.more || erasing,
    };
  }

  async function repeat(sweep: () => Promise<Swept>, signal: AbortSignal): Promise<Swept> {
    let deleted = 0;
    for (let count = 0; count < options.deletesPerRound && !signal.aborted; count++) {
      const swept = await timed(sweep, signal);
      deleted += swept.deleted;
      if (!swept.more) return { deleted, more: false };
    }
    return { deleted, more: true };
  }

  /** Those that whoever asked for them did not see to the end; true: there are more. */
  async function finishErasures(signal: AbortSignal): Promise<boolean> {
    const sleep = (ms: number) => options.sleep(ms, signal);
    const erasures = createErasures(sql, { ...erasuresDefaults, sleep, monotonicMs: options.monotonicMs });
    await expireMarks(sql, marksPerRound);
    for (let count = 0; count < options.deletesPerRound && !signal.aborted; count++) {
      const unfinished = await findUnfinished(sql);
      if (unfinished === undefined) return false;
      const { streamId, key } = unfinished;
      await timed(async () => {
        const erasure = await erasures.advance(streamId, key, eraseMs);
        return { deleted: Number(erasure?.erased ?? 0n) };
      }, signal);
    }
    return true;
  }

  async function walkClaims(signal: AbortSignal): Promise<number> {
    let deleted = 0;
    for (let pages = 0; !signal.aborted; ) {
      const expired = await timed(() => expireClaims(sql), signal);
      deleted += expired.deleted;
      pages += claimPagesMax;
      if (pages >= Number(expired.pagesTotal) / options.roundsPerClaimsWalk) break;
    }
    return deleted;
  }

  /** The pause leaves the disk to appends and reads, and locks of rows and replicas time to get on. */
  async function timed<T extends { deleted: number }>(
    work: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const startedMs = options.monotonicMs();
    const result = await work();
    if (result.deleted > 0) {
      const tookMs = options.monotonicMs() - startedMs;
      await options.sleep(Math.max(pauseMsMin, tookMs * pauseFactor), signal);
    }
    return result;
  }

  return {
    async round(signal) {
      const [lock] = await sql<[{ taken: boolean }]>`select pg_try_advisory_lock(1953064293, 3) as taken`;
      if (!lock.taken) return undefined;
      try {
        return await work(signal);
      } finally {
        // Where the connection is lost, so is the lock.
        await sql`select pg_advisory_unlock(1953064293, 3)`.catch(() => undefined);
      }
    },
  };
}

const nothing: Swept = { deleted: 0, more: false };

async function readOldest(sql: Sql): Promise<bigint | undefined> {
  const [row] = await sql<[{ oldest: bigint | null }]>`
    select min(p.lower) as oldest from tidemark.partitions() p where p.lower >= 0`;
  return row.oldest ?? undefined;
}
