import { paths } from '@tidemark/core/wire';
import { type Command, exitCodes, flag, positionalsOf } from './command.ts';
import { connect, connectionHelp, connectionOptions } from './connection.ts';
import { duration, shortTime, table } from './pretty.ts';

interface DescribedStream {
  readonly stream: string;
  readonly watermark: string;
  readonly watermarkDelayMs: number;
  readonly retentionDays: number | null;
  readonly epoch: number;
}

/** `tidemark streams`. */
export const streams: Command = {
  summary: 'List streams, or show one',
  usage: '[stream] [options]',
  help: `  --json               all that the collector says, a line of JSON for each stream
${connectionHelp}

Examples:
  tidemark streams
  tidemark streams orders --json | jq -r .latestCursor`,
  options: { json: flag, ...connectionOptions },
  async run(invocation) {
    const { values, stdout } = invocation;
    const [name] = positionalsOf(invocation, [], 1);
    const connection = connect(invocation, 'read');
    try {
      const found: DescribedStream[] = [];
      if (name !== undefined)
        found.push((await connection.ask({ path: paths.stream(name) })) as DescribedStream);
      for (let cursor: string | null = ''; name === undefined && cursor !== null; ) {
        const path: string =
          cursor === '' ? paths.streams : `${paths.streams}?cursor=${encodeURIComponent(cursor)}`;
        const list = (await connection.ask({ path })) as {
          streams: DescribedStream[];
          nextCursor: string | null;
        };
        found.push(...list.streams);
        cursor = list.nextCursor;
      }
      await stdout.write(
        values['json'] === true ? found.map((one) => `${JSON.stringify(one)}\n`).join('') : tableOf(found),
      );
      return exitCodes.done;
    } finally {
      await connection.close();
    }
  },
};

function tableOf(found: readonly DescribedStream[]): string {
  return table(
    ['STREAM', 'WATERMARK', 'DELAY', 'KEPT', 'EPOCH'],
    found.map(({ stream, watermark, watermarkDelayMs, retentionDays, epoch }) => [
      stream,
      shortTime(watermark),
      duration(watermarkDelayMs),
      retentionDays === null ? 'for ever' : `${retentionDays} d`,
      String(epoch),
    ]),
  );
}
