import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { parse } from 'node:path';
import type { Readable } from 'node:stream';

/** Another user's numeric ids. */
export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** Starts programs as the user that Postgres runs as. */
export interface Launcher {
  /** Whom the database files must belong to; undefined when that is ourselves. */
  readonly owner: UserIds | undefined;
  readonly launch: (program: string, args: readonly string[]) => ChildProcess;
}

/** What a program left behind; `code` is null when it was killed or could not be started. */
export interface ProgramResult {
  readonly code: number | null;
  /** What it printed, then what it complained about; of both the last 4,000 characters. */
  readonly output: string;
}

/** Starts programs as ourselves, or as `owner` (only root may). */
export function createDirectLauncher(owner: UserIds | undefined): Launcher {
  return { owner, launch: (program, args) => launch(program, args, owner) };
}

const outputCharactersMax = 4_000;

/** Runs a program to its end. */
export async function runProgram(
  launcher: Launcher,
  program: string,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<ProgramResult> {
  signal?.throwIfAborted();
  const child = launcher.launch(program, args);
  const printed = collect(child.stdout);
  const complained = collect(child.stderr);
  const end = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', end, { once: true });
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    signal?.throwIfAborted();
    return { code, output: printed() + complained() };
  } catch (error) {
    signal?.throwIfAborted();
    return { code: null, output: String(error) };
  } finally {
    signal?.removeEventListener('abort', end);
  }
}

function collect(stream: Readable | null): () => string {
  let text = '';
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-outputCharactersMax);
  });
  return () => text;
}

/** Starts a program as a user; detached, so that Ctrl-C reaches the collector alone, which then stops Postgres in order. */
export function launch(program: string, args: readonly string[], user: UserIds | undefined): ChildProcess {
  return spawn(program, args, {
    ...user,
    cwd: parse(process.execPath).root,
    env: childEnvironment(),
    detached: true,
    windowsHide: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

// Not our own environment: it may hold keys, which are none of Postgres's business, and PG* variables, which would change
// what it does.
function childEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { LC_ALL: 'C', TZ: 'UTC' };
  for (const name of ['PATH', 'SystemRoot', 'TEMP', 'TMP', 'TMPDIR', 'LD_LIBRARY_PATH']) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
