import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { describeFailure, failureOf } from '../store/failure.ts';
import { lockFolder } from '../store/folder-lock.ts';
import { type Kept, openKept } from '../store/kept.ts';
import { openSpoolFolder } from './spool-folder.ts';
import { type Journal, openJournal } from './spool-journal.ts';
import { withReserve } from './spool-reserve.ts';

/** A spool's folder in use: by this process alone, until it is closed. */
export interface OpenSpool {
  readonly path: string;
  readonly journal: Journal;
  readonly kept: Kept;
  close(): Promise<void>;
}

/** The spool's folder cannot be used. The message is for the operator. */
export class UnfitSpoolError extends Error {
  override readonly name = 'UnfitSpoolError';
}

export interface OpenSpoolOptions {
  /** What it may take up on disk. */
  readonly bytesMax: number;
  readonly clock: Pick<Clock, 'monotonicMs' | 'wallMicros' | 'sleep' | 'randomBytes'>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Makes the folder where it is missing. Rejects with `UnfitSpoolError`. */
export async function openSpool(
  path: string,
  { bytesMax, clock, log, metrics }: OpenSpoolOptions,
): Promise<OpenSpool> {
  try {
    const folder = openSpoolFolder(path);
    const lock = await withReserve(folder, () => lockFolder(path));
    if (!lock.ok) {
      throw new UnfitSpoolError(
        `TIDEMARK_SPOOL_DIR ${path} is in use by ${lock.holder}: give each collector a folder of its own.`,
      );
    }
    try {
      const journal = await openJournal(folder, {
        bytesMax,
        randomBytes: clock.randomBytes,
        monotonicMs: clock.monotonicMs,
        onDamage(segment, bytes) {
          metrics.spoolDamagedBytes.inc(bytes);
          log.error({ segment, bytes }, 'a part of the spool cannot be read any more: events may be lost');
        },
        onCut: (segment, bytes) =>
          log.warn({ segment, bytes }, 'the end of the spool was cut: it had not been acknowledged'),
      });
      return {
        path,
        journal,
        kept: openKept({
          folder: path,
          clock,
          onFailure(error) {
            // It is renewed as soon as Postgres is back.
            const level = failureOf(error) === 'unavailable' ? 'debug' : 'warn';
            log[level]({ failure: describeFailure(error) }, 'the copy of keys and settings was not renewed');
          },
        }),
        async close() {
          await journal.close();
          // Where the disk is full it cannot be said: then the next one finds that this process has ended.
          await lock.release().catch(() => undefined);
        },
      };
    } catch (error) {
      await lock.release().catch(() => undefined);
      throw error;
    }
  } catch (error) {
    if (error instanceof UnfitSpoolError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new UnfitSpoolError(`TIDEMARK_SPOOL_DIR ${path} cannot be used: ${why}`);
  }
}
