import type { ClientIpMode } from '@tidemark/core/wire';
import { asc, eq, gt, inArray, sql as drizzleSql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { failureOf } from './failure.ts';
import { fence, streams } from './schema.ts';

/** A stream as it is now. Times are microseconds. */
export interface Stream {
  readonly streamId: number;
  readonly name: string;
  readonly identity: bigint;
  readonly epoch: number;
  readonly epochStart: bigint;
  readonly watermarkDelay: bigint;
  readonly orderFloor: bigint;
  readonly retainedMark: bigint;
  readonly watermark: bigint;
  readonly createdAt: bigint;
  /** Null: kept for ever. */
  readonly retentionDays: number | null;
  readonly dedupeDays: number;
  /** What of the address of a request is kept with its events. */
  readonly clientIp: ClientIpMode;
  /** Whether its user agent is. */
  readonly userAgent: boolean;
}

export interface StreamSettings {
  // What is left out stays, or has the default in a new stream.
  /** Microseconds. */
  readonly watermarkDelay?: bigint;
  /** Null: for ever. */
  readonly retentionDays?: number | null;
  readonly dedupeDays?: number;
  readonly clientIp?: ClientIpMode;
  readonly userAgent?: boolean;
}

export interface Streams {
  find(name: string): Promise<Stream | undefined>;
  /** By name, from the one after `after` on. */
  list(after: string, limit: number): Promise<readonly Stream[]>;
  /**
   * The ids of streams, made where they do not exist yet. A name that is missing in the answer is one stream too many.
   * Ids are remembered: `forget` a name when an append says that its stream is gone.
   */
  ensure(names: ReadonlySet<string>): Promise<ReadonlyMap<string, number>>;
  forget(names: Iterable<string>): void;
  /** Creates or changes a stream. Undefined: it is one too many. */
  put(name: string, settings: StreamSettings): Promise<Stream | undefined>;
  /**
   * Deletes a stream with all its events; false: there is none. It waits for appends that are under way; those that come later
   * make another stream. Rejects when appends did not end within a few seconds.
   */
  remove(name: string): Promise<boolean>;
}

export interface StreamsOptions {
  /** Most streams of the database. */
  readonly streamsMax: number;
  /** Watermark delay of new streams, microseconds. */
  readonly watermarkDelay: bigint;
}

/** Serialises the making of streams, so that their number stays below the limit. */
const makeLock = drizzleSql`select pg_advisory_xact_lock(1953064293, 1)`;

const columns = {
  streamId: streams.streamId,
  name: streams.name,
  identity: streams.identity,
  epoch: streams.epoch,
  epochStart: streams.epochStart,
  watermarkDelay: streams.watermarkDelay,
  orderFloor: streams.orderFloor,
  retainedMark: streams.retainedMark,
  watermark: drizzleSql<string>`tidemark.watermark(streams, ${fence.published})`.mapWith(BigInt),
  createdAt: streams.createdAt,
  retentionDays: streams.retentionDays,
  dedupeDays: streams.dedupeDays,
  clientIp: streams.clientIp,
  userAgent: streams.userAgent,
};

/** Each try waits a second at most, because meanwhile new appends wait behind it. */
const removeTries = 4;

export function createStreams({ query }: Pick<Database, 'query'>, options: StreamsOptions): Streams {
  const remembered = new Map<string, number>();

  async function find(name: string): Promise<Stream | undefined> {
    const [stream] = await query.select(columns).from(streams).crossJoin(fence).where(eq(streams.name, name));
    return stream;
  }

  function remember(rows: readonly { name: string; streamId: number }[], into: Map<string, number>): void {
    for (const { name, streamId } of rows) {
      into.set(name, streamId);
      if (remembered.size < options.streamsMax) remembered.set(name, streamId);
    }
  }

  return {
    find,

    list: (after, limit) =>
      query
        .select(columns)
        .from(streams)
        .crossJoin(fence)
        .where(gt(streams.name, after))
        .orderBy(asc(streams.name))
        .limit(limit),

    async ensure(names) {
      const found = new Map<string, number>();
      const unknown: string[] = [];
      for (const name of names) {
        const streamId = remembered.get(name);
        if (streamId === undefined) unknown.push(name);
        else found.set(name, streamId);
      }
      if (unknown.length === 0) return found;
      const ids = { name: streams.name, streamId: streams.streamId };
      remember(await query.select(ids).from(streams).where(inArray(streams.name, unknown)), found);
      const missing = unknown.filter((name) => !found.has(name));
      if (missing.length === 0) return found;
      await query.transaction(async (transaction) => {
        await transaction.execute(makeLock);
        const room = options.streamsMax - (await transaction.$count(streams));
        if (room > 0) {
          await transaction
            .insert(streams)
            .values(missing.slice(0, room).map((name) => ({ name, watermarkDelay: options.watermarkDelay })))
            .onConflictDoNothing();
        }
      });
      remember(await query.select(ids).from(streams).where(inArray(streams.name, missing)), found);
      return found;
    },

    forget(names) {
      for (const name of names) remembered.delete(name);
    },

    async put(name, settings) {
      const { watermarkDelay, ...others } = settings;
      const made = await query.transaction(async (transaction) => {
        const [existing] = await transaction
          .select({ streamId: streams.streamId })
          .from(streams)
          .where(eq(streams.name, name));
        if (existing !== undefined) {
          if (watermarkDelay !== undefined) {
            await transaction.execute(
              drizzleSql`select tidemark.set_watermark_delay(${existing.streamId}, ${watermarkDelay})`,
            );
          }
          if (Object.keys(others).length > 0) {
            await transaction.update(streams).set(others).where(eq(streams.streamId, existing.streamId));
          }
          return true;
        }
        await transaction.execute(makeLock);
        if ((await transaction.$count(streams)) >= options.streamsMax) return false;
        const inserted = await transaction
          .insert(streams)
          .values({ name, watermarkDelay: watermarkDelay ?? options.watermarkDelay, ...others })
          .onConflictDoNothing()
          .returning({ streamId: streams.streamId });
        return inserted.length > 0 ? true : undefined;
      });
      if (made === false) return undefined;
      // Somebody else made it at the same moment: now it exists, and the settings still have to be applied.
      return made === undefined ? this.put(name, settings) : find(name);
    },

    async remove(name) {
      for (let tries = 1; ; tries++) {
        const stream = await find(name);
        if (stream === undefined) return false;
        try {
          const [row] = await query.execute<{ deleted: boolean }>(
            drizzleSql`select tidemark.delete_stream(${stream.streamId}) as deleted`,
          );
          remembered.delete(name);
          return row?.deleted === true;
        } catch (error) {
          // Appends that hold the stream are waited for, and for no longer than they may take.
          if (!['transient', 'held_up', 'stalled'].includes(failureOf(error)) || tries === removeTries)
            throw error;
        }
      }
    },
  };
}
