#!/usr/bin/env node
import { constants } from 'node:os';
import { runCli } from './cli.ts';
import { createOutput } from './output.ts';

/** The process: arguments, environment and signals in, exit code out. A second signal ends it at once. */
const stop = new AbortController();
let signalled: NodeJS.Signals | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (signalled !== undefined) process.exit(128 + constants.signals[signal]);
    signalled = signal;
    stop.abort();
  });
}

const code = await runCli(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: createOutput(process.stdout, () => stop.abort()),
  stderr: createOutput(process.stderr, () => {}),
  environment: process.env,
  stop: stop.signal,
});
process.exitCode = signalled === undefined ? code : 128 + constants.signals[signalled];
// Standard input may be a terminal that nobody has closed.
process.stdin.unref?.();
