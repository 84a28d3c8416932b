// Postgres refuses to run as root. Started as root, the collector therefore runs it as an unprivileged user that
// exists: the owner of the data if there already is some, else `postgres`, else `nobody`.
//
// That user may be unable to reach the programs or the data, because a folder above them is closed to it (/root is
// 0700, and so is everything made under a strict umask). Then it gets one capability for that and nothing else of root's:
// the right to read all files and search all folders. Where that is not enough (programs installed under umask 077
// may not be executed), or not to be had (containers drop it by default), it is the right to pass by file permissions.
// `setpriv` hands it over, because Node cannot.

import { stat } from 'node:fs/promises';
import type { PostgresBinaries } from './embedded-binaries.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import {
  createDirectLauncher,
  type Launcher,
  launch,
  type ProgramResult,
  runProgram,
  type UserIds,
} from './embedded-launch.ts';

/**
 * Decides as whom Postgres runs, and proves that it works by running it.
 *
 * Throws `cannot_run_as_user` or `binaries_unusable`.
 */
export async function chooseLauncher(
  binaries: PostgresBinaries,
  dataDir: string,
  clusterDir: string,
  signal?: AbortSignal,
): Promise<Launcher> {
  const ourselves = createDirectLauncher(undefined);
  const version = await runProgram(ourselves, binaries.postgres, ['--version'], signal);
  if (version.code !== 0) {
    throw new EmbeddedPostgresError(
      'binaries_unusable',
      `the embedded Postgres does not run here (${lastLine(version)}); install the packages again with install scripts allowed, or set DATABASE_URL`,
    );
  }
  if (process.geteuid?.() !== 0) return ourselves;

  let failure = 'there is neither a user postgres nor a user nobody';
  for (const user of await candidates(clusterDir, signal)) {
    for (const launcher of [
      createDirectLauncher(user),
      createCapableLauncher(user, 'dac_read_search'),
      createCapableLauncher(user, 'dac_override'),
    ]) {
      const found = await obstacle(launcher, binaries, version.output, dataDir, signal);
      if (found === undefined) return launcher;
      failure = `as uid ${user.uid}: ${found}`;
    }
  }
  throw new EmbeddedPostgresError(
    'cannot_run_as_user',
    `Postgres does not run as root, and here nobody else can run it (${failure}). Start the collector as another user; or install setpriv (package util-linux); or put both the program and TIDEMARK_DATA_DIR below folders that everybody may enter; or set DATABASE_URL`,
  );
}

async function candidates(clusterDir: string, signal?: AbortSignal): Promise<UserIds[]> {
  const owner = await stat(clusterDir).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return [{ uid: owner.uid, gid: owner.gid }];
  const found: UserIds[] = [];
  for (const name of ['postgres', '_postgres', 'nobody']) {
    const uid = await lookUp('-u', name, signal);
    const gid = await lookUp('-g', name, signal);
    if (uid !== undefined && gid !== undefined && uid !== 0) found.push({ uid, gid });
  }
  return found;
}

async function lookUp(flag: '-u' | '-g', name: string, signal?: AbortSignal): Promise<number | undefined> {
  const { code, output } = await runProgram(createDirectLauncher(undefined), 'id', [flag, name], signal);
  const text = output.trim();
  // macOS prints nobody's -2 as an unsigned number; the system call wants it back as a signed one.
  return code === 0 && /^-?\d+$/.test(text) ? Number(text) | 0 : undefined;
}

function createCapableLauncher(owner: UserIds, capability: 'dac_read_search' | 'dac_override'): Launcher {
  const privileges = [
    `--reuid=${owner.uid}`,
    `--regid=${owner.gid}`,
    '--clear-groups',
    `--inh-caps=-all,+${capability}`,
    `--ambient-caps=+${capability}`,
    `--bounding-set=-all,+${capability}`,
    // Postgres asks access(2) about its own programs, which leaves out the capabilities of any user but root
    // unless this bit is set.
    '--securebits=+no_setuid_fixup',
    '--no-new-privs',
    '--',
  ];
  return {
    owner,
    launch: (program, args) => launch('setpriv', [...privileges, program, ...args], undefined),
  };
}

/** What keeps the user from running Postgres on the folder; undefined when nothing does. */
async function obstacle(
  launcher: Launcher,
  binaries: PostgresBinaries,
  versionOutput: string,
  dataDir: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  // A Postgres that may not look at its own program answers all the same, but complains.
  const version = await runProgram(launcher, binaries.postgres, ['--version'], signal);
  if (version.code !== 0 || version.output !== versionOutput) return lastLine(version);
  const enter = await runProgram(launcher, '/bin/sh', ['-c', 'cd "$1"', 'sh', dataDir], signal);
  return enter.code === 0 ? undefined : lastLine(enter);
}

function lastLine({ output }: ProgramResult): string {
  return output.trim().split('\n').at(-1) ?? '';
}
