import type { Readable } from 'node:stream';

/** The part of a pino logger that is used here. */
export type EmbeddedLog = Readonly<
  Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>
>;

type Level = keyof EmbeddedLog;

const lineCharactersMax = 2_000;
const linesPerSecondMax = 20;
const linesKept = 20;

/** Follows what a postmaster writes to its stderr. */
export interface PostgresOutput {
  /** The last lines, for the message of an error. */
  readonly tail: () => string;
  /** What it says while it starts and stops is no news: stages it goes through, connections it turns away. */
  readonly expectTalk: (expected: boolean) => void;
}

/**
 * Passes the lines of Postgres on to our log, at their own level; at most 20 lines a second of at most 2,000
 * characters, what is left out is counted.
 */
export function followPostgresOutput(stderr: Readable, log: EmbeddedLog): PostgresOutput {
  const kept: string[] = [];
  let talkExpected = true;
  let level: Level = 'debug';
  let rest = '';
  let passed = 0;
  let leftOut = 0;
  let second: NodeJS.Timeout | undefined;

  const startNextSecond = () => {
    second = undefined;
    passed = 0;
    if (leftOut === 0) return;
    log.warn({ lines: leftOut }, 'postgres wrote more lines than are passed on');
    leftOut = 0;
  };

  const take = (line: string) => {
    if (line === '') return;
    level = levelOf(line, level);
    const text = line.slice(0, lineCharactersMax);
    kept.push(text);
    if (kept.length > linesKept) kept.shift();
    if (passed >= linesPerSecondMax) {
      leftOut += 1;
      return;
    }
    passed += 1;
    second ??= setTimeout(startNextSecond, 1_000).unref();
    log[talkExpected ? 'debug' : level]({ source: 'postgres' }, text);
  };

  stderr.setEncoding('utf8');
  stderr.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = (lines.pop() ?? '').slice(0, lineCharactersMax);
    for (const line of lines) take(line);
  });
  stderr.on('close', () => {
    take(rest);
    clearTimeout(second);
    startNextSecond();
  });

  return {
    tail: () => kept.join('\n'),
    expectTalk: (expected) => {
      talkExpected = expected;
    },
  };
}

// An ERROR reaches the client whose statement failed, which knows what it means; a FATAL ends one session.
const levels: Readonly<Record<string, Level>> = {
  DEBUG: 'debug',
  LOG: 'info',
  INFO: 'info',
  NOTICE: 'info',
  WARNING: 'warn',
  ERROR: 'debug',
  FATAL: 'warn',
  PANIC: 'error',
};

// DETAIL, HINT, CONTEXT and the further lines of a long message belong to the line before them.
function levelOf(line: string, before: Level): Level {
  const word = /^([A-Z]+)\d?: /.exec(line)?.[1];
  return (word === undefined ? undefined : levels[word]) ?? before;
}
