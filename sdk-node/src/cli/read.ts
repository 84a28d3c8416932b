import { type FileHandle, open } from 'node:fs/promises';
import { followPages, type ReadOptions } from '../read.ts';
import {
  type Command,
  exitCodes,
  flag,
  oneOf,
  positionalsOf,
  text,
  textOf,
  UsageError,
  wholeOf,
} from './command.ts';
import { connect, connectionHelp, connectionOptions } from './connection.ts';
import { type CursorFile, loadCursor, saveWhole } from './cursor-file.ts';
import { type RawPage, parseRawPage } from './raw-page.ts';

/** `tidemark read`: a stream as NDJSON, and from where it stopped the next time. */
export const read: Command = {
  summary: 'Write the events of a stream as NDJSON',
  usage: '<stream> [options]',
  help: `  --from <place>       earliest (default), latest, or a time
  --until <time>       end before this time, as soon as the stream is complete up to it
  --follow             go on with what comes
  --names <a,b>        only events of these names
  --of <key>           only events of this key
  --page <events>      events asked for at once, 1 to 10000; default 1000
  --output <file>      append to a file instead of writing to standard output
  --cursor-file <file> keep the place here, and go on from it the next time. With --output each event is written exactly
                       once, whenever the program is stopped; into a pipe, the last page may come again
  --on-expired <what>  error (default) or earliest: when the kept place is older than what the collector keeps
${connectionHelp}

Examples:
  tidemark read orders > orders.ndjson
  tidemark read orders --cursor-file orders.cursor --output orders.ndjson
  tidemark read orders --from 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z | gzip > january.ndjson.gz`,
  options: {
    ...{ from: text, until: text, follow: flag, names: text, of: text, page: text },
    ...{ output: text, 'cursor-file': text, 'on-expired': text },
    ...connectionOptions,
  },
  async run(invocation) {
    const { values, stop } = invocation;
    const [stream = ''] = positionalsOf(invocation, ['stream']);
    const cursorFile = textOf(values, 'cursor-file');
    const saved = cursorFile === undefined ? undefined : await loadCursor(cursorFile, stream);
    const options: ReadOptions = {
      ...(saved ? { cursor: saved.cursor } : { from: textOf(values, 'from') }),
      until: textOf(values, 'until'),
      follow: values['follow'] === true || textOf(values, 'until') !== undefined,
      names: textOf(values, 'names')?.split(','),
      key: textOf(values, 'of'),
      pageEvents: wholeOf(values, 'page', 1, 10_000),
      onExpired: oneOf(values, 'on-expired', ['error', 'earliest']),
      signal: stop,
    };
    const connection = connect(invocation, 'read');
    const sink = await openSink(invocation.stdout, textOf(values, 'output'), saved);
    try {
      for await (const page of followPages(connection.parts, stream, options, parseRawPage)) {
        const bytes = await sink.write(linesOf(page));
        if (cursorFile !== undefined) await saveWhole(cursorFile, { stream, cursor: page.nextCursor, bytes });
      }
      return exitCodes.done;
    } finally {
      await sink.close();
      await connection.close();
    }
  },
};

function linesOf({ texts }: RawPage): string {
  return texts.length === 0 ? '' : `${texts.join('\n')}\n`;
}

interface Sink {
  /** When it resolves, what was written is where it should be. The length of the output from then on, if it has one. */
  write(text: string): Promise<number | undefined>;
  close(): Promise<void>;
}

async function openSink(
  stdout: { write(text: string): Promise<void> },
  path: string | undefined,
  saved: CursorFile | undefined,
): Promise<Sink> {
  if (path === undefined) {
    return {
      async write(lines) {
        if (lines !== '') await stdout.write(lines);
        return undefined;
      },
      close: () => Promise.resolve(),
    };
  }
  const file = await open(path, 'a');
  let bytes = await cutBack(file, path, saved);
  return {
    async write(lines) {
      if (lines === '') return bytes;
      const buffer = Buffer.from(lines);
      await file.appendFile(buffer);
      await file.datasync();
      bytes += buffer.length;
      return bytes;
    },
    close: () => file.close(),
  };
}

/** What was written after the cursor was kept will come again. */
async function cutBack(file: FileHandle, path: string, saved: CursorFile | undefined): Promise<number> {
  const { size } = await file.stat();
  if (saved?.bytes === undefined) return size;
  if (size < saved.bytes)
    throw new UsageError(
      `${path} is shorter than when the cursor was kept: remove the cursor file to begin anew`,
    );
  await file.truncate(saved.bytes);
  return saved.bytes;
}
