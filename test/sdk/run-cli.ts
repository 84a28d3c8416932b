import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const main = fileURLToPath(new URL('../../sdk-node/src/cli/main.ts', import.meta.url));

export interface CliRun {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly code: Promise<number | NodeJS.Signals | null>;
}

/** `tidemark …` in a process of its own. */
export function runCli(
  args: readonly string[],
  options: { environment?: Record<string, string>; cwd?: string } = {},
): CliRun {
  const { TIDEMARK_URL: _, TIDEMARK_KEY: __, ...inherited } = process.env;
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: options.cwd,
    env: { ...inherited, ...options.environment },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  const code = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on('close', (exit, signal) => resolve(signal ?? exit));
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await code;
  });
  return { child, stdout: () => stdout, stderr: () => stderr, code };
}
