import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { checkDatabase } from './checks.ts';
import { connect } from './database.ts';
import { describeFailure, failureOf } from './failure.ts';
import { migrate } from './migrate.ts';

export interface PrepareOptions {
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
  readonly log: Log;
  /** Gives up when it is aborted. */
  readonly signal: AbortSignal;
  /** How long to wait for a database that cannot be reached, in milliseconds; `Infinity`: for ever. */
  readonly deadlineMs: number;
}

const retryMs = 1_000;

/** Migrates and checks the database. */
export async function prepareDatabase(url: string): Promise<void> {
  await migrate(url);
  const sql = connect(url, 'tidemark check', 1, {});
  try {
    await checkDatabase(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/**
 * Does the task as soon as the database can be reached, from its beginning each time. Rejects with the last error when the
 * deadline has passed, at once with any other failure than that the database cannot be reached, and with the signal's reason.
 */
export async function whenReachable<T>(task: () => Promise<T>, options: PrepareOptions): Promise<T> {
  const { clock, log, signal, deadlineMs } = options;
  const sinceMs = clock.monotonicMs();
  for (;;) {
    signal.throwIfAborted();
    try {
      return await task();
    } catch (error) {
      const waitedMs = clock.monotonicMs() - sinceMs;
      if (failureOf(error) !== 'unavailable' || waitedMs + retryMs > deadlineMs) throw error;
      const rest = Number.isFinite(deadlineMs)
        ? `for another ${Math.round((deadlineMs - waitedMs) / 1_000)} s`
        : 'on';
      log.warn(`Postgres cannot be reached (${describeFailure(error)}): trying ${rest}`);
      await clock.sleep(retryMs, signal);
    }
  }
}
