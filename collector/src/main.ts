#!/usr/bin/env node
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { createClock } from './clock.ts';
import { readCommand, usage } from './command.ts';
import { type Config, readConfig } from './config.ts';
import { UnfitCertificateError } from './http/certificate.ts';
import { UnfitSpoolError } from './ingest/spool-open.ts';
import { type KeysCommand, KeysCommandError, runKeysCommand } from './keys-command.ts';
import { createLog, describeError, type Log } from './log.ts';
import { runAlone } from './run/alone.ts';
import { runPrimary } from './run/primary.ts';
import { WorkerError } from './run/staff.ts';
import { talkToPrimary } from './run/to-primary.ts';
import { runWorker } from './run/worker.ts';
import { checkMigrated, UnfitDatabaseError } from './store/checks.ts';
import { connect, createQuery } from './store/database.ts';
import { EmbeddedPostgresError } from './store/embedded-error.ts';
import { joinEmbeddedPostgres } from './store/embedded-join.ts';
import { describeFailure, failureOf } from './store/failure.ts';
import { createKeys } from './store/keys.ts';

/**
 * The process: arguments, environment and signals in, exit code out.
 *
 * A start goes through configuration, Postgres, migrations, collector and listener; an end goes the same way back, within ten
 * seconds. Exit 0 after a signal, 1 when something failed, with one line that says what to do, 2 when the arguments are not understood.
 */

const databaseCloseMs = 1_000;
const exitDeadlineMs = 10_000;

interface Stop {
  readonly signal: AbortSignal;
  /** Closes, for this reason, if it does not already. */
  request(reason: string): void;
}

/** Aborted by SIGTERM and SIGINT; a second signal, or a close that takes too long, ends the process at once. */
function stopOf(log: Log): Stop {
  const stop = new AbortController();
  const request = (reason: string): void => {
    if (stop.signal.aborted) return;
    log.info(`${reason}: closing`);
    stop.abort();
    setTimeout(() => {
      log.fatal(`the collector did not close within ${exitDeadlineMs} ms`);
      process.exit(1);
    }, exitDeadlineMs).unref();
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stop.signal.aborted) process.exit(1);
    request(signal);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return { signal: stop.signal, request };
}

/** What went wrong, for the operator. */
function explain(error: unknown, config: Config): string {
  if (
    error instanceof EmbeddedPostgresError ||
    error instanceof UnfitDatabaseError ||
    error instanceof KeysCommandError ||
    error instanceof UnfitCertificateError ||
    error instanceof UnfitSpoolError ||
    error instanceof WorkerError
  ) {
    return error.message;
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') {
    return `Port ${config.port} of ${config.host} is taken: stop what uses it, or set PORT to another one (0: any free one).`;
  }
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    return `Cannot listen on ${config.host} port ${config.port} (${code}): set HOST and PORT to something this machine has.`;
  }
  if (failureOf(error) === 'unavailable') {
    return `Postgres cannot be reached (${describeFailure(error)}): see DATABASE_URL.`;
  }
  return JSON.stringify(describeError(error));
}

/** A command beside the collector, which may be running: on its database, or on the data of its embedded one. */
async function manageKeys(command: KeysCommand, config: Config, log: Log, stop: AbortSignal): Promise<void> {
  const dataDir = join(config.dataDirectory, 'postgres');
  const { url, leave } =
    config.databaseUrl === undefined
      ? await joinEmbeddedPostgres({ dataDir, log, signal: stop })
      : { url: config.databaseUrl, leave: () => Promise.resolve() };
  const sql = connect(url, 'tidemark keys', 1, {});
  try {
    await checkMigrated(sql);
    const print = (line: string): void => void process.stdout.write(`${line}\n`);
    await runKeysCommand(command, {
      keys: createKeys({ query: createQuery(sql) }),
      clock: createClock(),
      print,
    });
  } finally {
    await sql.end({ timeout: databaseCloseMs / 1_000 });
    await leave();
  }
}

/** The collector: in this process, or in workers that it starts. */
async function start(config: Config): Promise<number> {
  const log = createLog({ level: config.logLevel });
  const stop = stopOf(log);
  const print = (text: string): void => void process.stdout.write(text);
  const parts = { config, log, clock: createClock(), print };
  return await ended(stop, config, 'Tidemark stopped: ', () =>
    config.workers === 1 ? runAlone(parts, stop.signal) : runPrimary(parts, stop.signal),
  );
}

/** A process that a primary started. */
async function work(): Promise<number> {
  if (process.send === undefined) {
    process.stderr.write('Workers are started by a collector: see TIDEMARK_WORKERS.\n');
    return 2;
  }
  const clock = createClock();
  const primary = talkToPrimary(
    {
      send: (news, sent) => void process.send?.(news, undefined, {}, sent),
      on: (event, listener) => void process.on(event, listener),
    },
    clock,
  );
  const beginning = await primary.beginning;
  const { config, number } = beginning;
  const log = createLog({ level: config.logLevel }).child({ worker: number });
  const stop = stopOf(log);
  primary.onStop(() => stop.request('the collector ends'));
  try {
    await runWorker(beginning, { clock, log, primary }, stop.signal);
    return 0;
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) return 0;
    await primary.tellFailing(explain(error, config));
    return 1;
  }
}

async function commandBeside(command: KeysCommand, config: Config): Promise<number> {
  // What a command answers stands alone on standard output.
  const log = createLog({ level: 'warn', destination: process.stderr });
  const stop = stopOf(log);
  return await ended(stop, config, '', () => manageKeys(command, config, log, stop.signal));
}

/** The exit code of a task. */
async function ended(
  { signal }: Stop,
  config: Config,
  before: string,
  task: () => Promise<void>,
): Promise<number> {
  try {
    await task();
    return 0;
  } catch (error) {
    if (signal.aborted && error === signal.reason) return 0;
    process.stderr.write(`${before}${explain(error, config)}\n`);
    return 1;
  }
}

async function main(): Promise<number> {
  const asked = readCommand(process.argv.slice(2));
  if (!asked.ok) {
    process.stderr.write(`${asked.mistake}. With --help you see what there is.\n`);
    return 2;
  }
  const { command } = asked;
  if (command.do === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  // A channel to the primary keeps a process from ending by itself.
  if (command.do === 'work') process.exit(await work());
  const read = readConfig(process.env);
  if (!read.ok) {
    const list = read.mistakes.map((mistake) => `  - ${mistake}`).join('\n');
    process.stderr.write(`The configuration has mistakes:\n${list}\n`);
    return 1;
  }
  return command.do === 'start' ? await start(read.config) : await commandBeside(command, read.config);
}

// V8 lets a small heap grow fourfold before it looks for garbage, which is most of what a collector holds while it refuses ten times what it
// can take: at twofold its peak is 203 MiB instead of 265, and throughput the same.
setFlagsFromString('--heap-growing-percent=100');

process.exitCode = await main();
