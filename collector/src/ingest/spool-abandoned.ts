import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { describeFailure } from '../store/failure.ts';
import type { RowOutcome } from './append.ts';
import { type DrainDependencies, startDrain } from './spool-drain.ts';
import { type OpenSpool, UnfitSpoolError } from './spool-open.ts';

/** Spools that an earlier run left behind, and that nobody appends to any more. */
export interface AbandonedSpools {
  readonly folders: () => Promise<readonly string[]>;
  /** Rejects with `UnfitSpoolError`, as when somebody uses it. */
  readonly open: (folder: string) => Promise<OpenSpool>;
}

export interface Clearing {
  /** Bytes in the spool that is being emptied. */
  waitingBytes(): number;
  /** Stops, and closes the spool that is being emptied, whatever is left in it. */
  stop(): Promise<void>;
}

export interface ClearingDependencies
  extends Pick<DrainDependencies, 'appender' | 'onRejected' | 'monotonicMs'> {
  readonly abandoned: AbandonedSpools;
  readonly onMoved: (outcomes: readonly RowOutcome[]) => void;
  readonly sleep: Clock['sleep'];
  readonly log: Log;
}

/** So long after a spool could not be opened it is tried again: the process that uses it may have ended. */
const retryMs = 10_000;

/** Moves what is in abandoned spools to Postgres, one after the other. */
export function startClearing(dependencies: ClearingDependencies): Clearing {
  const { abandoned, log, sleep } = dependencies;
  const stopped = new AbortController();
  let current: OpenSpool | undefined;

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      let left = false;
      try {
        for (const folder of await abandoned.folders()) left = !(await clear(folder)) || left;
        if (!left) return;
      } catch (error) {
        log.warn(
          { failure: describeFailure(error) },
          'the spools that were left behind could not be looked at',
        );
      }
      await sleep(retryMs, stopped.signal);
    }
  }

  /** False: something is left in it. */
  async function clear(folder: string): Promise<boolean> {
    if (stopped.signal.aborted) return false;
    try {
      current = await abandoned.open(folder);
    } catch (error) {
      if (!(error instanceof UnfitSpoolError)) throw error;
      log.warn(`A spool that was left behind waits: ${error.message}`);
      return false;
    }
    try {
      log.warn(
        { folder, bytes: current.journal.waitingBytes },
        'a spool that was left behind is being emptied',
      );
      const empty = await moveAll(current);
      if (empty) log.info({ folder }, 'a spool that was left behind is empty now');
      return empty;
    } finally {
      await current.close();
      current = undefined;
    }
  }

  async function moveAll({ journal }: OpenSpool): Promise<boolean> {
    let empty = false;
    const done = new AbortController();
    const drain = startDrain({
      ...{ journal, appender: dependencies.appender, onRejected: dependencies.onRejected },
      ...{ monotonicMs: dependencies.monotonicMs, sleep },
      onMoved: dependencies.onMoved,
      onEmpty() {
        empty = true;
        done.abort();
      },
      onFailure: (error) =>
        log.debug({ failure: describeFailure(error) }, 'it could not be moved and will be tried again'),
    });
    await ended(AbortSignal.any([done.signal, stopped.signal]));
    await drain.stop();
    return empty;
  }

  const running = run();
  return {
    waitingBytes: () => current?.journal.waitingBytes ?? 0,
    async stop() {
      stopped.abort();
      await running;
    },
  };
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
