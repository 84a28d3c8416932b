import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import { createEpochs, type EpochNotices } from './epochs.ts';
import { type CheckConnection, connectMsMax, createPool, type Gate, type Sql } from './pool.ts';
import { checkStandby, createStandbyFirst, type StandbyOptions } from './standby.ts';

export type { Sql } from './pool.ts';

/** The connections of one collector to its database. */
export interface Database {
  /** For appends: few connections, and one more for streams that somebody holds; each statement in autocommit, and bounded by `statementTimeoutMs`. */
  readonly write: Sql;
  /**
   * For single statements of readers: a standby where there is one, and the primary while that is away. Plans are made for the parameters at hand, so that
   * partitions a cursor has passed are never opened.
   */
  readonly read: Sql;
  /** The same, but never a standby. */
  readonly readPrimary: Sql;
  /** The same for several statements that belong together: all go to one server, and are done anew on the primary if one fails. */
  readTogether<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /** For windows, which count and sum for a while: they must not hold up pages. */
  readonly aggregate: Sql;
  /** For the advance loop, settings and keys: never waits behind appends or pages. */
  readonly control: Sql;
  /** For consumers: many commits must not hold up the watermark. */
  readonly consume: Sql;
  /** One connection, for what takes its time: see the upkeep. */
  readonly upkeep: Sql;
  /** Drizzle over `control`. */
  readonly query: PostgresJsDatabase;
  /** From now on statements go to the database. */
  open(): void;
  /** A floor that the database has published: one that is behind it later has lost something. */
  noteFloor(floor: bigint): void;
  /** Ends all connections; statements under way get up to `deadlineMs` to finish. */
  close(deadlineMs: number): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly writeConnections: number;
  readonly readConnections: number;
  /** Until `open` all statements fail as if there were no database: it may be there, and not be migrated yet. */
  readonly closed?: boolean;
  /** What is found when the database was restored or switched. */
  readonly epochs?: EpochNotices;
  /** Where pages are read, if not on the primary. */
  readonly standby?: (StandbyOptions & { readonly url: string }) | undefined;
}

/** What the upkeep waits for locks is never long enough to be noticed; a stopped process loses its session, and its turn. */
export const upkeepSettings = {
  lock_timeout: '1s',
  statement_timeout: '30s',
  idle_session_timeout: '120s',
} as const;

/** Longest time an append may take, in milliseconds: a client that vanished must not hold the fence for longer. */
export const statementTimeoutMs = 5_000;

/** So long an append waits for others, in milliseconds: longer than one of them takes, and no longer than its neighbours can wait with it. */
const lockTimeoutMs = 300;

/**
 * Events of one stretch of order time lie near one another. Postgres does not know that of an index with several columns, and takes each of
 * them for a seek of its own: from a twentieth of a day on it would rather read all of the day, with windows at a quarter of the speed.
 */
const planSettings = {
  plan_cache_mode: 'force_custom_plan',
  max_parallel_workers_per_gather: 0,
  random_page_cost: 1.1,
} as const;

/** Pages come in the order of the index: to sort what may be a whole day is never the better way, whatever Postgres expects to find. */
export const readSettings = { ...planSettings, enable_sort: 'off' } as const;

/** A window may not take longer than what is no longer kept stays on disk. */
export const aggregateSettings = { ...planSettings, statement_timeout: 30_000 } as const;

const silent: EpochNotices = { onBegun: () => undefined, onUntold: () => undefined };

/** Connects lazily: nothing happens before the first statement, and lost connections are made anew. */
export function createDatabase(options: DatabaseOptions): Database {
  const gate: Gate = { open: options.closed !== true };
  const epochs = createEpochs(options.epochs ?? silent);
  const open = (name: string, connections: number, settings: Record<string, string | number> = {}): Sql =>
    connect(options.url, name, connections, settings, { gate, check: epochs.check });
  const write = open('tidemark write', options.writeConnections + 1, { lock_timeout: lockTimeoutMs });
  const { standby } = options;
  const readPrimary = open('tidemark read', options.readConnections, readSettings);
  const replica =
    standby === undefined
      ? undefined
      : createStandbyFirst(
          connect(standby.url, 'tidemark read', options.readConnections, readSettings, {
            gate,
            check: checkStandby,
          }),
          readPrimary,
          standby,
        );
  const aggregate = open('tidemark aggregate', 2, aggregateSettings);
  const control = open('tidemark control', 3);
  const consume = open('tidemark consume', 2);
  const upkeep = open('tidemark upkeep', 1, upkeepSettings);
  const pools = [
    write,
    readPrimary,
    aggregate,
    control,
    consume,
    upkeep,
    ...(replica === undefined ? [] : [replica]),
  ];
  return {
    write,
    read: replica ?? readPrimary,
    readPrimary,
    readTogether: (work) => (replica === undefined ? work(readPrimary) : replica.together(work)),
    aggregate,
    control,
    consume,
    upkeep,
    query: createQuery(control),
    open() {
      gate.open = true;
    },
    noteFloor(floor) {
      epochs.noteFloor(floor);
      replica?.measure(floor);
    },
    async close(deadlineMs) {
      const timeout = deadlineMs / 1_000;
      await Promise.all(pools.map((pool) => pool.end({ timeout })));
    },
  };
}

/** Drizzle over a pool, which has of the driver what Drizzle uses. */
export function createQuery(sql: Sql): PostgresJsDatabase {
  return drizzle(sql as unknown as postgres.Sql);
}

/** What statements have to pass. */
interface Guards {
  readonly gate?: Gate;
  readonly check?: CheckConnection;
}

/** One pool. Also what migrations and tests connect with. */
export function connect(
  url: string,
  name: string,
  connections: number,
  settings: Record<string, string | number>,
  { gate = { open: true }, check }: Guards = {},
): Sql {
  const pool = { connectionsMax: connections, answerMsMax: answerMsMaxFor(settings), gate, check };
  return createPool(url, pool, {
    connect_timeout: connectMsMax / 1_000,
    max_lifetime: null,
    fetch_types: false,
    types: { bigint: postgres.BigInt },
    connection: {
      application_name: name,
      TimeZone: 'UTC',
      default_transaction_isolation: 'read committed',
      synchronous_commit: 'on',
      statement_timeout: statementTimeoutMs,
      idle_in_transaction_session_timeout: statementTimeoutMs,
      ...settings,
    },
    onnotice: () => undefined,
  });
}

/** Longer than the server lets a statement run: when it has not answered by then it is not there. */
const answerGraceMs = 2_000;

function answerMsMaxFor({
  statement_timeout: setting = statementTimeoutMs,
}: Record<string, string | number>): number {
  const [, seconds] = /^(\d+)s$/.exec(String(setting)) ?? [];
  const ms = seconds === undefined ? Number(setting) : Number(seconds) * 1_000;
  return ms === 0 ? 0 : ms + answerGraceMs;
}
