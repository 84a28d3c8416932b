import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogLevel } from './config.ts';

export type Log = Logger;

export interface LogOptions {
  readonly level: LogLevel;
  /** Where lines go; by default standard output. */
  readonly destination?: DestinationStream;
}

/**
 * Lines of JSON. Whatever is logged, and wherever in a line it stands, secrets do not pass: that is checked on the finished
 * line, as keys arrive in headers, in URLs and in the messages of other people's errors.
 */
export function createLog({ level, destination }: LogOptions): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError, error: describeError },
      hooks: { streamWrite: withoutSecrets },
    },
    destination ?? pino.destination(1),
  );
}

/**
 * What an error says of itself, and no more: the errors of drivers carry statements and their values as fields.
 */
export function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error).slice(0, messageCharactersMax);
  const code = 'code' in error ? error.code : undefined;
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return {
    type: error.name,
    message: statementOf(error) ?? error.message.slice(0, messageCharactersMax),
    ...(code === undefined ? {} : { code }),
    stack: frames.map((line) => line.trim()).slice(0, framesMax),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}

const messageCharactersMax = 1_000;
const framesMax = 12;

/** Drizzle's errors have the values of the statement in their message. */
function statementOf(error: Error): string | undefined {
  if (!('query' in error) || !('params' in error) || typeof error.query !== 'string') return undefined;
  return `Failed query: ${error.query.slice(0, messageCharactersMax)}`;
}

const hidden = '[hidden]';

/** Each finds a secret between what introduces it and what ends it, in a line of JSON. */
const secrets: readonly [RegExp, string][] = [
  [/("(?:proxy-)?authorization":)"(?:[^"\\]|\\.)*"/gi, `$1"${hidden}"`],
  [/\b(Bearer|Basic) [^\s"\\]+/gi, `$1 ${hidden}`],
  // Also where a client has encoded what stands around it, so that it became part of a path.
  [/((?:[?&]|%3F|%26)(?:key|writeKey)(?:=|%3D))[^&#\s"\\]+/gi, `$1${hidden}`],
  [/(:\/\/[^:@/\s"\\]*:)[^@\s"\\]+@/g, `$1${hidden}@`],
  [/\b(tm_(?:write|read|admin)_)[\w-]+/g, `$1${hidden}`],
];

function withoutSecrets(line: string): string {
  let clean = line;
  for (const [pattern, replacement] of secrets) clean = clean.replace(pattern, replacement);
  return clean;
}
