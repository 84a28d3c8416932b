import { followPages } from '../read.ts';
import { type Command, exitCodes, oneOf, positionalsOf, text, textOf } from './command.ts';
import { connect, connectionHelp, connectionOptions } from './connection.ts';
import { prettyEvent } from './pretty.ts';
import { parseRawPage } from './raw-page.ts';

/** `tidemark tail`: what happens, as it happens. */
export const tail: Command = {
  summary: 'Show events as they become readable',
  usage: '<stream> [options]',
  help: `  --from <place>       latest (default), earliest, or a time such as 2026-01-31T12:00:00Z
  --names <a,b>        only events of these names
  --of <key>           only events of this key
  --format <format>    pretty (default on a terminal) or ndjson (default in a pipe)
${connectionHelp}

Examples:
  tidemark tail orders
  tidemark tail orders --names order.placed --format ndjson | jq .props.total`,
  options: { from: text, names: text, of: text, format: text, ...connectionOptions },
  async run(invocation) {
    const { values, stdout, stop } = invocation;
    const [stream = ''] = positionalsOf(invocation, ['stream']);
    const pretty =
      (oneOf(values, 'format', ['pretty', 'ndjson']) ?? (stdout.isTerminal ? 'pretty' : 'ndjson')) ===
      'pretty';
    const connection = connect(invocation, 'read');
    const options = {
      from: textOf(values, 'from') ?? 'latest',
      names: textOf(values, 'names')?.split(','),
      key: textOf(values, 'of'),
      signal: stop,
    };
    try {
      for await (const page of followPages(connection.parts, stream, options, parseRawPage)) {
        const lines = pretty ? page.events.map((event) => prettyEvent(event, stdout.isTerminal)) : page.texts;
        if (lines.length > 0) await stdout.write(`${lines.join('\n')}\n`);
      }
      return exitCodes.done;
    } finally {
      await connection.close();
    }
  },
};
