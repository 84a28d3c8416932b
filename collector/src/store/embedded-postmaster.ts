import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import type { PostgresBinaries } from './embedded-binaries.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { guardPostmaster } from './embedded-guard.ts';
import { type EmbeddedLog, followPostgresOutput } from './embedded-log.ts';
import { type Launcher, runProgram } from './embedded-launch.ts';
import { type ServerSettings, settingArguments } from './embedded-settings.ts';

/** One running postmaster: from its start to its end, never restarted. */
export interface Postmaster {
  readonly pid: number;
  /** Settles, and never fails, when the process has ended; gives its last lines. */
  readonly ended: Promise<string>;
  /** Fast shutdown, after its deadline an immediate one, after that the hard end. */
  readonly stop: () => Promise<void>;
}

/** What is the same for every postmaster of one data folder. */
export interface PostmasterOptions {
  readonly binaries: PostgresBinaries;
  readonly launcher: Launcher;
  readonly clusterDir: string;
  readonly settings: ServerSettings;
  readonly log: EmbeddedLog;
  /** Where a connection proves that the server works. */
  readonly urlOn: (port: number) => string;
}

// Together below the 10 s in which a collector must have closed. A shutdown cut short costs a recovery at the next start.
const fastShutdownMs = 5_000;
const immediateShutdownMs = 1_500;
const lastLinesMs = 500;
// Recovery after a crash replays up to max_wal_size; the server answers meanwhile that it is starting.
const answerMs = 60_000;
const recoveryMs = 600_000;
const recoveryNewsMs = 2_000;

/**
 * Starts a postmaster and waits until a query works.
 *
 * Throws `start_failed` with the server's last lines when it ends before that, or takes longer than 60 s to answer, or
 * 10 min to recover.
 */
export async function startPostmaster(
  options: PostmasterOptions,
  port: number,
  signal?: AbortSignal,
): Promise<Postmaster> {
  const { binaries, launcher, clusterDir, settings, log } = options;
  signal?.throwIfAborted();
  const args = ['-D', clusterDir, ...settingArguments({ ...settings, port: String(port) })];
  const child = launcher.launch(binaries.postgres, args);
  const exit = once(child, 'exit');
  const closed = once(child, 'close').catch(() => {});
  if (child.pid === undefined || child.stderr === null) {
    const cause: unknown = await exit.catch((error: unknown) => error);
    throw new EmbeddedPostgresError('start_failed', `${binaries.postgres} could not be started`, { cause });
  }
  const { pid } = child;
  const guard = guardPostmaster(pid);
  const output = followPostgresOutput(child.stderr, log);
  child.stdout?.resume();
  let running = true;
  const ended = (async () => {
    await exit.catch(() => {});
    running = false;
    guard.release();
    // Its last lines may still be on their way; backends that outlive it keep the pipe open.
    await settlesWithin(closed, lastLinesMs);
    return output.tail();
  })();

  const stop = async () => {
    output.expectTalk(true);
    for (const [name, deadlineMs] of [
      ['INT', fastShutdownMs],
      ['QUIT', immediateShutdownMs],
    ] as const) {
      if (!running) return;
      await signalPostmaster(options, pid, name);
      if (await settlesWithin(ended, deadlineMs)) return;
      log.warn({ deadlineMs, signal: `SIG${name}` }, 'the embedded Postgres did not stop in time');
    }
    if (!running) return;
    child.kill('SIGKILL');
    await settlesWithin(ended, immediateShutdownMs);
  };

  try {
    await waitUntilItAnswers(options, port, ended, signal);
  } catch (error) {
    await stop();
    throw error;
  }
  output.expectTalk(false);
  return { pid, ended, stop };
}

/** Sends a signal to a postmaster; Windows has none, but Postgres brings its own. */
export async function signalPostmaster(
  { binaries, launcher }: Pick<PostmasterOptions, 'binaries' | 'launcher'>,
  pid: number,
  name: 'INT' | 'QUIT',
): Promise<void> {
  if (process.platform === 'win32') {
    await runProgram(launcher, binaries.pgCtl, ['kill', name, String(pid)]);
    return;
  }
  try {
    process.kill(pid, `SIG${name}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function waitUntilItAnswers(
  { urlOn, clusterDir, log }: PostmasterOptions,
  port: number,
  ended: Promise<string>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const answerDeadline = AbortSignal.timeout(answerMs);
  const recoveryDeadline = AbortSignal.timeout(recoveryMs);
  const over = ended.then((tail) => {
    throw new EmbeddedPostgresError(
      'start_failed',
      `the embedded Postgres ended while it was starting:\n${tail}`,
    );
  });
  const listening = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { signal: listening.signal });
  });
  const cutShort = Promise.race([over, aborted]);
  cutShort.catch(() => {});
  const newsDeadline = AbortSignal.timeout(recoveryNewsMs);
  let told = false;
  try {
    for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 250)) {
      const answer = await Promise.race([ask(urlOn(port), clusterDir), cutShort]);
      if (answer === 'ready') return;
      if (answer === 'recovering' && newsDeadline.aborted && !told) {
        told = true;
        log.info({}, 'the embedded Postgres is recovering, which can take minutes after a crash');
      }
      if ((answer === 'recovering' ? recoveryDeadline : answerDeadline).aborted) {
        throw new EmbeddedPostgresError(
          'start_failed',
          `the embedded Postgres runs, but on port ${port}: ${answer}`,
        );
      }
      await Promise.race([sleep(pauseMs), cutShort]);
    }
  } finally {
    listening.abort();
  }
}

const cannotConnectNow = '57P03';

/** `ready`, `recovering`, or why not. */
async function ask(url: string, clusterDir: string): Promise<string> {
  const sql = postgres(url, { max: 1, connect_timeout: 5, fetch_types: false, prepare: false });
  try {
    const [row] = await sql<{ folder: string }[]>`select current_setting('data_directory') as folder`;
    // Somebody else's Postgres may have taken the port in the moment before ours wanted it.
    return row?.folder === clusterDir.replaceAll('\\', '/') ? 'ready' : 'another server answers';
  } catch (error) {
    return (error as { code?: unknown }).code === cannotConnectNow ? 'recovering' : String(error);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function settlesWithin(promise: Promise<unknown>, deadlineMs: number): Promise<boolean> {
  const settled = new AbortController();
  const timeout = sleep(deadlineMs, false, { signal: settled.signal }).catch(() => false);
  const result = await Promise.race([promise.then(() => true), timeout]);
  settled.abort();
  return result;
}
