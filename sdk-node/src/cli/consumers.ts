import { type Consumer, type ConsumerSummary, paths } from '@tidemark/core/wire';
import { type Command, exitCodes, flag, positionalsOf, text, textOf, UsageError } from './command.ts';
import { connect, connectionHelp, connectionOptions } from './connection.ts';
import { duration, shortTime, table } from './pretty.ts';

/** `tidemark consumers`. */
export const consumers: Command = {
  summary: 'List the consumers of a stream, show one, move it or delete it',
  usage: '<stream> [consumer] [options]',
  help: `  --seek <place>       move it to earliest, latest, a time or a cursor. Whoever works on it begins there
  --delete             delete it: its place is forgotten
  --json               lines of JSON
${connectionHelp}

Examples:
  tidemark consumers orders
  tidemark consumers orders billing
  tidemark consumers orders billing --seek 2026-01-31T00:00:00Z`,
  options: { seek: text, delete: flag, json: flag, ...connectionOptions },
  async run(invocation) {
    const { values, stdout } = invocation;
    const [stream = '', name] = positionalsOf(invocation, ['stream'], 1);
    const json = values['json'] === true;
    const seek = textOf(values, 'seek');
    const remove = values['delete'] === true;
    if (name === undefined && (remove || seek !== undefined)) throw new UsageError('<consumer> is missing');
    if (remove && seek !== undefined) throw new UsageError('--seek and --delete exclude each other');
    const connection = connect(invocation, 'read');
    try {
      if (name === undefined) {
        const list = (await connection.ask({ path: paths.consumers(stream) })) as {
          consumers: ConsumerSummary[];
        };
        await stdout.write(
          json ? list.consumers.map((one) => `${JSON.stringify(one)}\n`).join('') : listOf(list.consumers),
        );
      } else if (remove) {
        await connection.ask({ method: 'DELETE', path: paths.consumer(stream, name) });
      } else {
        const ask =
          seek === undefined
            ? { path: paths.consumer(stream, name) }
            : { method: 'POST' as const, path: paths.consumerSeek(stream, name), body: startOf(seek) };
        const consumer = (await connection.ask(ask)) as Consumer;
        await stdout.write(json ? `${JSON.stringify(consumer)}\n` : shardsOf(consumer));
      }
      return exitCodes.done;
    } finally {
      await connection.close();
    }
  },
};

/** A cursor has neither the form of a time nor a word's. */
function startOf(place: string): object {
  const isPlace = place === 'earliest' || place === 'latest' || /^\d{4}-\d\d-\d\d/.test(place);
  return isPlace ? { from: place } : { cursor: place };
}

function listOf(list: readonly ConsumerSummary[]): string {
  return table(
    ['CONSUMER', 'SHARDS', 'AT WORK', 'BEHIND', 'SINCE'],
    list.map(({ consumer, shards, leased, behindMs, createdAt }) => [
      consumer,
      String(shards),
      String(leased),
      duration(behindMs),
      shortTime(createdAt),
    ]),
  );
}

function shardsOf({ shards }: Consumer): string {
  return table(
    ['SHARD', 'BEHIND', 'MEMBER', 'LEASE UNTIL', 'CURSOR'],
    shards.map(({ shard, behindMs, member, expiresAt, cursor }) => [
      String(shard),
      duration(behindMs),
      member ?? '-',
      expiresAt === null ? '-' : shortTime(expiresAt),
      cursor,
    ]),
  );
}
