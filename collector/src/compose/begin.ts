import { earliestMicros } from '@tidemark/core/wire';
import { createDatabaseClock, type DatabaseClock } from '../clock.ts';
import type { Database } from '../store/database.ts';
import { describeFailure, failureOf } from '../store/failure.ts';
import { makePartitionsAhead, readFirstPartition } from '../store/partitions.ts';
import type { CollectorDependencies } from './dependencies.ts';

/** What a collector knows of its database from the beginning. */
export interface Begun {
  readonly databaseClock: DatabaseClock;
  /** Until it is known reads take more steps than they need. */
  readonly firstPartition: () => bigint;
}

const retryMs = 1_000;

/** The database's part of the start: at this moment, or with a spool when the database comes. */
export async function begin(dependencies: CollectorDependencies, stopped: AbortSignal): Promise<Begun> {
  const { clock, log, metrics, database, spool } = dependencies;
  const databaseClock = createDatabaseClock(clock, () => readClock(database), {
    onMeasured({ offsetMs, farOff }) {
      metrics.clockOffsetSeconds.set(offsetMs / 1_000);
      if (farOff)
        log.warn({ offsetMs }, 'the clocks of this machine and of Postgres are more than a second apart');
    },
    onFailed: (error) =>
      log.warn({ failure: describeFailure(error) }, 'the clock of Postgres could not be read'),
  });
  let firstPartition = earliestMicros;
  async function read(): Promise<void> {
    await databaseClock.synchronize();
    await makePartitionsAhead(database.control);
    firstPartition = await readFirstPartition(database.read);
  }
  if (spool === undefined) await read();
  else
    await read().catch((error: unknown) => {
      if (failureOf(error) !== 'unavailable') throw error;
      void beginLater(read, { clock, log, signal: stopped });
    });
  return { databaseClock, firstPartition: () => firstPartition };
}

async function readClock({ control }: Database): Promise<bigint> {
  const [row] = await control<[{ now: bigint }]>`select tidemark.clock() as now`;
  return row.now;
}

/** Keeps the database's part of the start for when the database comes. */
async function beginLater(
  begin: () => Promise<void>,
  { clock, log, signal }: Pick<CollectorDependencies, 'clock' | 'log'> & { readonly signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(retryMs, signal);
    try {
      return await begin();
    } catch (error) {
      if (failureOf(error) !== 'unavailable')
        log.error(
          { failure: describeFailure(error) },
          'the start could not be finished and will be tried again',
        );
    }
  }
}
