import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { ConsumeTask } from './consume-program.ts';

/** A consumer in a process of its own, and what it has printed. */
export interface ConsumerProcess {
  readonly child: ChildProcess;
  /** Ids whose pages were begun, or handled to their end; again if they were again. */
  begun(): readonly string[];
  handled(): readonly string[];
  readonly output: () => string;
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

export function runConsumer(task: ConsumeTask): ConsumerProcess {
  const file = fileURLToPath(new URL('./consume-program.ts', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), file, JSON.stringify(task)],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const ended = once(child, 'close').then(
    ([code, signal]) => (signal ?? code) as number | NodeJS.Signals | null,
  );
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const ids = (step: string) => (): string[] =>
    [...text.matchAll(new RegExp(`^${step} \\d+ (.*)$`, 'gm'))].flatMap(([, list = '']) => list.split(' '));
  return { child, begun: ids('begin'), handled: ids('end'), output: () => text, ended };
}
