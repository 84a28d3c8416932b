import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A spool that is soon full, and how a collector comes to have it. */
export interface FullSpool {
  readonly environment: Readonly<Record<string, string>>;
  /** A program that the collector is run through. */
  readonly through: readonly string[];
  readonly unmake: () => void;
  /** Takes what room is left of its disk, if that is small. */
  readonly toTheBrim: () => void;
}

type Make = (spoolDir: string) => FullSpool;

/** The smallest spool that batches of 32 KiB allow. */
const smallSpool = {
  TIDEMARK_LIMIT_BODY_BYTES: '32768',
  TIDEMARK_LIMIT_INFLATED_BYTES: '32768',
  TIDEMARK_LIMIT_EVENT_BYTES: '32768',
  TIDEMARK_LIMIT_SPOOL_BYTES: '131072',
};

const nothing = (): void => undefined;

/** What this machine can do to a spool, from outside: each is really done. */
export const fullSpools: readonly (readonly [string, Make])[] = [
  ['its own limit', () => ({ environment: smallSpool, through: [], unmake: nothing, toTheBrim: nothing })],
  ...(canMount() ? [['the end of a small disk', onSmallDisk] as const] : []),
  ...(has('prlimit') ? [['the largest size of a file', withLargestFile] as const] : []),
];

function onSmallDisk(spoolDir: string): FullSpool {
  mount(spoolDir);
  return {
    environment: {},
    through: [],
    unmake: () => unmount(spoolDir),
    toTheBrim: () => fillUp(join(spoolDir, 'filler')),
  };
}

function withLargestFile(): FullSpool {
  return {
    environment: {},
    through: ['prlimit', '--fsize=300000', '--'],
    unmake: nothing,
    toTheBrim: nothing,
  };
}

function mount(folder: string): void {
  run('mount', '-t', 'tmpfs', '-o', 'size=600k', 'tmpfs', folder);
}

function fillUp(path: string): void {
  try {
    for (;;) appendFileSync(path, Buffer.alloc(4_096));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

/** Lazily: the collector may still be ending. */
function unmount(folder: string): void {
  run('umount', '-l', folder);
}

/** Only root may, and not in every container. */
function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-mount-'));
  try {
    mount(folder);
    unmount(folder);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function has(program: string): boolean {
  try {
    run(program, '--version');
    return true;
  } catch {
    return false;
  }
}

function run(program: string, ...options: readonly string[]): void {
  execFileSync(program, options, { stdio: 'ignore' });
}
