import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ClientOptions } from '@tidemark/node';
import { eventually } from '../harness/eventually.ts';

/** How a program that uses the SDK comes to its end: see program.ts. */
export type Ending = 'end' | 'flush' | 'close' | 'wait' | 'listen' | 'exit' | 'worker';

export interface Program {
  readonly child: ChildProcess;
  /** What it has printed. */
  readonly output: () => string;
  /** It has printed `ready`. */
  ready(): Promise<void>;
  /** Exit code or signal, and how long it took from the last `kill` or, without one, from the start. */
  readonly ended: Promise<{ readonly code: number | NodeJS.Signals | null; readonly ms: number }>;
  kill(signal: NodeJS.Signals): void;
}

/** Runs program.ts in a process of its own. It tracks so many events and then ends as told. */
export function runProgram(
  ending: Ending,
  task: { readonly events: number; readonly options: Partial<ClientOptions>; readonly pauseMs?: number },
): Program {
  const file = fileURLToPath(new URL('./program.ts', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), file, ending, JSON.stringify(task)],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let text = '';
  let sinceMs = performance.now();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  return {
    child,
    output: () => text,
    ready: () => eventually('the program is ready', () => text.includes('ready'), 20_000),
    ended: once(child, 'close').then(([code, signal]) => ({
      code: (signal ?? code) as number | NodeJS.Signals | null,
      ms: performance.now() - sinceMs,
    })),
    kill(signal) {
      sinceMs = performance.now();
      child.kill(signal);
    },
  };
}
