import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/**
 * When a process started, in whatever form the system gives it; together with the id it names one process for ever.
 * Undefined when there is no such process, or the system does not tell (Windows).
 */
export async function processStart(pid: number): Promise<string | undefined> {
  if (process.platform === 'win32') return undefined;
  if (process.platform !== 'linux') return ask('ps', ['-o', 'lstart=', '-p', String(pid)]);
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The second field is the program's name in parentheses, and may hold parentheses itself.
  const [state, ...fields] = text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? [];
  // A zombie has ended; only its parent has not noticed.
  return state === 'Z' ? undefined : fields[18];
}

/** The command line of a process, its arguments separated by single spaces; undefined when there is no such process. */
export async function processCommand(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return text === '' ? undefined : text.replaceAll('\0', ' ');
  }
  if (process.platform === 'win32') {
    const query = `(Get-CimInstance Win32_Process -Filter "ProcessId=${pid}").CommandLine`;
    return (await ask('powershell', ['-NoProfile', '-Command', query]))?.replaceAll('"', '');
  }
  return ask('ps', ['-ww', '-o', 'command=', '-p', String(pid)]);
}

async function ask(program: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return (await promisify(execFile)(program, args)).stdout.trim() || undefined;
  } catch {
    return undefined;
  }
}
