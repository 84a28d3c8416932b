import { parseArgs } from 'node:util';
import { TidemarkError } from '../errors.ts';
import { type Command, exitCodes, flag, type Surroundings, UsageError } from './command.ts';
import { consumers } from './consumers.ts';
import { importCommand } from './import.ts';
import { PipeClosed } from './output.ts';
import { read } from './read.ts';
import { streams } from './streams.ts';
import { tail } from './tail.ts';
import { windows } from './windows.ts';

const commands: Readonly<Record<string, Command>> = {
  tail,
  read,
  windows,
  import: importCommand,
  consumers,
  streams,
};

/** Runs a command to its exit code. Never rejects. */
export async function runCli(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const [name = '', ...rest] = argv;
  const { stdout, stderr } = surroundings;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  try {
    if (['', '--help', '-h', 'help'].includes(name)) {
      await (name === '' ? stderr : stdout).write(overview());
      return name === '' ? exitCodes.usage : exitCodes.done;
    }
    if (command === undefined) throw new UsageError(`there is no command ${JSON.stringify(name)}`);
    const { values, positionals } = parse(command, rest);
    if (values['help'] === true) {
      await stdout.write(helpOf(name, command));
      return exitCodes.done;
    }
    return await command.run({ ...surroundings, values, positionals });
  } catch (error) {
    if (error instanceof PipeClosed) return exitCodes.done;
    const usage = error instanceof UsageError;
    const hint = usage ? `\nSee: tidemark ${command === undefined ? '' : `${name} `}--help` : '';
    await stderr.write(`tidemark: ${explain(error)}${hint}\n`).catch(() => {});
    return usage ? exitCodes.usage : exitCodes.failed;
  }
}

function parse(command: Command, args: readonly string[]) {
  try {
    const options = { ...command.options, help: { ...flag, short: 'h' } };
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { values: values as Record<string, string | boolean | undefined>, positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error));
  }
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { earliestCursor } = error instanceof TidemarkError ? error.problem : {};
  return earliestCursor === undefined
    ? error.message
    : `${error.message}. The earliest cursor is ${earliestCursor}`;
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const list = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: tidemark <command> [options]

${list.join('\n')}

tidemark <command> --help shows its options and examples.
Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 imported, but for records that were set aside; 128 + n ended by signal n.
`;
}

function helpOf(name: string, { summary, usage, help }: Command): string {
  return `${summary}\n\nUsage: tidemark ${name} ${usage}\n\n${help}\n`;
}
