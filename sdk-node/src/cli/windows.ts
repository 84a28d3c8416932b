import type { Window } from '@tidemark/core/wire';
import { followWindows, type WindowsOptions } from '../windows.ts';
import {
  type Command,
  exitCodes,
  flag,
  oneOf,
  positionalsOf,
  text,
  textOf,
  UsageError,
  type Values,
} from './command.ts';
import { connect, connectionHelp, connectionOptions } from './connection.ts';
import { loadCursor, saveWhole } from './cursor-file.ts';
import { shortTime, table } from './pretty.ts';
import { parseRawWindows } from './raw-page.ts';

/** `tidemark windows`: counts and sums of each minute, hour or day. */
export const windows: Command = {
  summary: 'Count and sum the events of each minute, hour or day',
  usage: '<stream> --size <length> [options]',
  help: `  --size <length>      1s to 1d, such as 60s, 5m, 1h
  --group-by <what>    name, key, or a path such as props.adId
  --sum <path>         numbers to sum, such as props.price
  --from <place>       earliest (default), latest, or a time
  --follow             go on with windows to come, as they are complete
  --cursor-file <file> keep the place here, and go on from it the next time. The last page may come again
  --format <format>    pretty (default on a terminal) or ndjson (default in a pipe), a line for each window
${connectionHelp}

A window is given when it is complete, and never changes. Events that came later are in a later window, as late panes: add them to
what you had.

Examples:
  tidemark windows clicks --size 1m --group-by props.adId --sum props.price
  tidemark windows orders --size 1d --from 2026-01-01T00:00:00Z --format ndjson > days.ndjson`,
  options: {
    ...{ size: text, 'group-by': text, sum: text, from: text, follow: flag },
    ...{ 'cursor-file': text, format: text, ...connectionOptions },
  },
  async run(invocation) {
    const { values, stdout, stop } = invocation;
    const [stream = ''] = positionalsOf(invocation, ['stream']);
    const format = oneOf(values, 'format', ['pretty', 'ndjson']) ?? (stdout.isTerminal ? 'pretty' : 'ndjson');
    const cursorFile = textOf(values, 'cursor-file');
    const saved = cursorFile === undefined ? undefined : await loadCursor(cursorFile, stream);
    const options: WindowsOptions = {
      ...optionsOf(values),
      ...(saved ? { cursor: saved.cursor } : { from: textOf(values, 'from') }),
      follow: values['follow'] === true,
      signal: stop,
    };
    const connection = connect(invocation, 'read');
    try {
      for await (const page of followWindows(connection.parts, stream, options, parseRawWindows)) {
        await stdout.write(format === 'pretty' ? prettyWindows(page.windows) : `${page.texts.join('\n')}\n`);
        if (cursorFile !== undefined) await saveWhole(cursorFile, { stream, cursor: page.nextCursor });
      }
      return exitCodes.done;
    } finally {
      await connection.close();
    }
  },
};

/** What a group may be is for the collector to say. */
function optionsOf(values: Values): Pick<WindowsOptions, 'size' | 'groupBy' | 'sum'> {
  const size = textOf(values, 'size');
  if (size === undefined) throw new UsageError('--size is missing');
  return {
    size,
    groupBy: textOf(values, 'group-by') as WindowsOptions['groupBy'],
    sum: textOf(values, 'sum') as WindowsOptions['sum'],
  };
}

function prettyWindows(found: readonly Window[]): string {
  const rows = found.flatMap((window) => {
    if ('empty' in window) return [[shortTime(window.start), '', `${window.windows} empty windows`, '0', '']];
    if (window.panes.length === 0) return [[shortTime(window.start), '', '', '0', '']];
    return window.panes.map(({ windowStart, timing, group, count, sum }) => [
      shortTime(window.start),
      timing === 'late' ? `for ${shortTime(windowStart)}` : '',
      group === null ? '' : JSON.stringify(group),
      String(count),
      sum === null ? '' : String(sum),
    ]);
  });
  return table(['WINDOW', 'LATE', 'GROUP', 'COUNT', 'SUM'], rows);
}
