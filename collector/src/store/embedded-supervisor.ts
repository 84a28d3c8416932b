import { setTimeout as sleep } from 'node:timers/promises';
import { stopOrphan } from './embedded-orphan.ts';
import { type Postmaster, type PostmasterOptions, startPostmaster } from './embedded-postmaster.ts';

/** A postmaster and those that come after it. */
export interface Supervisor {
  /** Process id of the present one. */
  readonly pid: () => number;
  readonly stop: () => Promise<void>;
}

const restartPauseMsMax = 10_000;

/**
 * Starts a postmaster that ended by itself again, on the same port, so that connection pools find it where it was. While
 * that fails it tries again, with pauses from 100 ms to 10 s, until it is stopped: a full disk may have space again.
 */
export function keepRunning(first: Postmaster, port: number, options: PostmasterOptions): Supervisor {
  const { log } = options;
  const stopping = new AbortController();
  let present = first;

  const watch = async () => {
    for (;;) {
      const tail = await present.ended;
      if (stopping.signal.aborted) return;
      log.error({ pid: present.pid, port, tail }, 'the embedded Postgres ended by itself; starting it again');
      await startAgain();
    }
  };

  const startAgain = async () => {
    for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, restartPauseMsMax)) {
      try {
        await stopOrphan(options, stopping.signal);
        present = await startPostmaster(options, port, stopping.signal);
        log.info({ pid: present.pid, port }, 'the embedded Postgres runs again');
        return;
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.error({ err: error, port, pauseMs }, 'the embedded Postgres does not start; trying again');
        await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {});
      }
    }
  };

  const watching = watch();
  return {
    pid: () => present.pid,
    stop: async () => {
      stopping.abort();
      await present.stop();
      await watching;
    },
  };
}
