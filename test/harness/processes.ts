import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { eventually } from './eventually.ts';

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
}

/** Process ids of the children of a process. */
export async function childrenOf(pid: number): Promise<number[]> {
  const all = await listProcesses();
  return all.filter((process) => process.parent === pid).map((child) => child.pid);
}

/** Process ids of the children of a process, and of theirs. */
export async function descendantsOf(pid: number): Promise<number[]> {
  const all = await listProcesses();
  const below = (parent: number): number[] =>
    all.filter((process) => process.parent === parent).flatMap((child) => [child.pid, ...below(child.pid)]);
  return below(pid);
}

/** Whether there is such a process; one that has ended and only waits for its parent to notice does not count. */
export async function isRunning(pid: number): Promise<boolean> {
  const found = (await listProcesses()).find((process) => process.pid === pid);
  return found !== undefined && !found.state.startsWith('Z');
}

/** SIGSTOP for a process and all below it; what comes back lets them go on. */
export async function haltAll(pid: number): Promise<() => void> {
  process.kill(pid, 'SIGSTOP');
  const pids = [pid, ...(await descendantsOf(pid))];
  for (const one of pids) process.kill(one, 'SIGSTOP');
  return () => {
    for (const one of pids) {
      try {
        process.kill(one, 'SIGCONT');
      } catch {
        // It has ended meanwhile.
      }
    }
  };
}

/** Kills processes, all at once, and comes back when none of them is left. */
export async function killAll(pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  for (const pid of pids) await eventually(`process ${pid} has ended`, async () => !(await isRunning(pid)));
}

// Small Linux images have no ps, but every Linux has /proc.
async function listProcesses(): Promise<Process[]> {
  if (process.platform !== 'linux') {
    const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,state=']);
    return stdout.trim().split('\n').map(readColumns);
  }
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map(readProc));
  return found.filter((process) => process !== undefined);
}

function readColumns(line: string): Process {
  const [pid, parent, state = ''] = line.trim().split(/\s+/);
  return { pid: Number(pid), parent: Number(parent), state };
}

async function readProc(pid: string): Promise<Process | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The second field is the program's name in parentheses, and may hold anything, parentheses included.
  const [state = '', parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid: Number(pid), parent: Number(parent), state };
}
