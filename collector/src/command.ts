import { parseArgs } from 'node:util';
import type { z } from 'zod';
import { keyBody } from './http/key-body.ts';

/** What the command line asks for. */
export type Command =
  | { readonly do: 'start' }
  /** What a primary process starts; no command of users. */
  | { readonly do: 'work' }
  | { readonly do: 'help' }
  | { readonly do: 'createKey'; readonly key: z.infer<typeof keyBody>; readonly json: boolean }
  | { readonly do: 'listKeys'; readonly json: boolean }
  | { readonly do: 'revokeKey'; readonly id: string; readonly json: boolean };

export const usage = `Usage:
  tidemark-collector                    start the collector
  tidemark-collector keys create        make a key, and show it this once
      --role write|read|admin           what it may do
      --stream orders                   a stream it is for, * for any characters; may be repeated; default: all
      --origin https://*.example.com    pages that may use it; may be repeated; default: all, and programs too
      --events-per-second 500           what it may send to one collector; default: no limit
      --bytes-per-second 1000000
      --default-stream orders           where events go that name no stream
  tidemark-collector keys list          all keys, without what is secret
  tidemark-collector keys revoke <id>   end a key: within 5 seconds nobody takes it any more

With --json the answer is JSON, one line for each key. The database is that of the environment, as for the collector, which may be running.
`;

/** Reads the arguments; a mistake is a sentence for the operator. */
export function readCommand(
  argv: readonly string[],
): { readonly ok: true; readonly command: Command } | { readonly ok: false; readonly mistake: string } {
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    if (values.help === true) return command({ do: 'help' });
    const [what, how, ...rest] = positionals;
    if (what === undefined && Object.keys(values).length === 0) return command({ do: 'start' });
    if (what === undefined) return mistake('Options stand behind a command');
    if (argv.length === 1 && what === 'worker') return command({ do: 'work' });
    if (what !== 'keys') return mistake(`There is no command ${JSON.stringify(what)}`);
    return keysCommand(how, rest, values);
  } catch (error) {
    return mistake(error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error));
  }
}

const text = { type: 'string' } as const;
const texts = { type: 'string', multiple: true } as const;

const keyOptions = {
  role: text,
  stream: texts,
  origin: texts,
  'events-per-second': text,
  'bytes-per-second': text,
  'default-stream': text,
} as const;

const options = {
  ...keyOptions,
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];

function keysCommand(how: string | undefined, rest: readonly string[], values: Values) {
  const json = values.json === true;
  const [id, ...more] = how === 'revoke' ? rest : [undefined, ...rest];
  if (more.length > 0) return mistake(`${JSON.stringify(more[0])} is one argument too many`);
  if (how === 'create') return createCommand(values, json);
  const foreign = Object.keys(keyOptions).find((name) => name in values);
  if (foreign !== undefined) return mistake(`--${foreign} is for keys create`);
  if (how === 'list') return command({ do: 'listKeys', json });
  if (how !== 'revoke') return mistake('keys is followed by create, list or revoke');
  if (id === undefined) return mistake('keys revoke is followed by the id of a key: see keys list');
  return command({ do: 'revokeKey', id, json });
}

function createCommand(values: Values, json: boolean) {
  const quotas = {
    ...given('eventsPerSecond', wholeOf(values['events-per-second'])),
    ...given('bytesPerSecond', wholeOf(values['bytes-per-second'])),
  };
  const parsed = keyBody.safeParse({
    role: values.role,
    ...given('streams', values.stream),
    ...given('origins', values.origin),
    ...given('defaultStream', values['default-stream']),
    ...(Object.keys(quotas).length === 0 ? {} : { quotas }),
  });
  if (parsed.success) return command({ do: 'createKey', key: parsed.data, json });
  if (values.role === undefined) return mistake('--role is missing: write, read or admin');
  const [issue] = parsed.error.issues;
  const field = String(issue?.path.findLast((part) => typeof part === 'string'));
  return mistake(`${optionOf.get(field) ?? field}: ${issue?.message ?? ''}`);
}

/** Which option a field of a key comes from. */
const optionOf = new Map([
  ['role', '--role'],
  ['streams', '--stream'],
  ['origins', '--origin'],
  ['quotas', '--events-per-second and --bytes-per-second'],
  ['eventsPerSecond', '--events-per-second'],
  ['bytesPerSecond', '--bytes-per-second'],
  ['defaultStream', '--default-stream'],
]);

function given(name: string, value: unknown): Record<string, unknown> {
  return value === undefined ? {} : { [name]: value };
}

/** What is not a whole number is left for the schema to refuse. */
function wholeOf(written: string | undefined): unknown {
  return written !== undefined && /^\d{1,15}$/.test(written) ? Number(written) : written;
}

function command(found: Command) {
  return { ok: true, command: found } as const;
}

function mistake(sentence: string) {
  return { ok: false, mistake: sentence } as const;
}
