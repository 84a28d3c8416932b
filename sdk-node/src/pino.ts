import { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { callbackify } from 'node:util';
import { createClient } from './client.ts';
import type { ClientOptions } from './options.ts';

export interface PinoOptions extends ClientOptions {
  /** The name of the events. Default `log`. */
  readonly name?: string | undefined;
  /** Default: the key's default stream. */
  readonly stream?: string | undefined;
}

/** No event may be as long; a line that goes on for longer is not kept until it ends. */
const lineCharactersMax = 1_048_576;

/**
 * A pino transport: each log record becomes an event with the record as its props, that happened when it was logged.
 *
 *     pino({ transport: { target: '@tidemark/node/pino', options: { url, key, stream: 'logs' } } })
 *
 * It runs in pino's worker thread. What is queued when the process ends is sent as by any client; `spoolDir` keeps what cannot be sent.
 * When the queue is full the logger's own buffer fills, not memory without a limit.
 *
 * @throws TypeError when an option cannot be right.
 */
export default function createTransport({ name = 'log', stream, ...options }: PinoOptions): Writable {
  const client = createClient(options);
  const decoder = new StringDecoder('utf8');
  let rest = '';

  async function take(text: string): Promise<void> {
    const lines = (rest + text).split('\n');
    if ((lines.at(-1)?.length ?? 0) < lineCharactersMax) rest = lines.pop() ?? '';
    else rest = '';
    for (const line of lines) await track(line);
  }

  async function end(): Promise<void> {
    await track(rest);
    await client.close();
  }

  async function track(line: string): Promise<void> {
    if (line === '') return;
    const record = parseRecord(line);
    await client.track(name, record, { stream, occurredAt: timeOf(record.time) });
  }

  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      callbackify(() => take(decoder.write(chunk)))((error) => done(error));
    },
    final(done) {
      callbackify(() => end())((error) => done(error));
    },
  });
}

/** What is not a record is the message of one: nothing is dropped here. */
function parseRecord(line: string): { readonly time?: unknown } {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // As below.
  }
  return { msg: line } as { time?: unknown };
}

/** pino writes milliseconds, or what its `timestamp` option makes. */
function timeOf(time: unknown): Date | string | undefined {
  if (typeof time === 'string') return time;
  return typeof time === 'number' && Math.abs(time) <= 8.64e15 ? new Date(time) : undefined;
}
