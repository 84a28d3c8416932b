import { createBadRecords } from './bad-records.ts';
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
  wholeOf,
} from './command.ts';
import { connect, connectionHelp, connectionOptions } from './connection.ts';
import { type Format, formats, type Mapping } from './import-format.ts';
import { importInput } from './import-run.ts';
import { loadState } from './import-state.ts';
import { createProgress, type Tally } from './progress.ts';

const filesMax = 100_000;

/** `tidemark import`: files of events into a stream. */
export const importCommand: Command = {
  summary: 'Import events from files: NDJSON, CSV, logs of web servers',
  usage: '<stream> <file…> [options]        - is standard input; gzip is noticed by itself',
  help: `  --format <format>    ndjson, csv, common or combined (log formats of web servers); default: by the file's name
  --name <name>        the name of all events (logs: http.request unless you say another)
  --name-field <field> the field, or column, that has the name of the event
  --time-field <field> … when it happened: RFC 3339, a date and a time in UTC, or seconds, ms or µs since 1970
  --key-field <field>  … its key
  --id-field <field>   … its id. Without one, ids are made of the content and its place: see below
  --strings            CSV: numbers stay texts
  --delimiter <char>   CSV: default a comma; "tab" for a tab
  --batch <events>     events sent at once, 1 to 1000; default 500
  --source <name>      what tells files apart that begin in the same way; default: the beginning of the file
  --state <file>       keep how far it has come, and begin there the next time
  --bad <file>         where records go that are no events; default import-bad.ndjson
  --no-progress        no bar
${connectionHelp}

NDJSON lines are events, as \`tidemark read\` writes them; with any of --name, --…-field they are objects that become the props.

An import that was stopped, or crashed, is run again as it was: nothing is stored twice, for as long as the stream
remembers ids (dedupeDays). A record's id is made of its text, of its place in the file and of how the file begins, so
files may be renamed, moved, compressed and appended to in between.

To have history in its order, make the stream first with a watermark delay that covers it, and lower that after the import.

Examples:
  tidemark import orders orders.ndjson.gz
  tidemark import flights flights.csv --name flight --time-field scheduled --key-field tail_number
  tidemark import web access.log.*.gz --format combined --key-field host --state web.state
  zcat dump.gz | tidemark import orders -  --format ndjson`,
  options: {
    ...{
      format: text,
      name: text,
      'name-field': text,
      'time-field': text,
      'key-field': text,
      'id-field': text,
    },
    ...{
      strings: flag,
      delimiter: text,
      batch: text,
      source: text,
      state: text,
      bad: text,
      'no-progress': flag,
    },
    ...connectionOptions,
  },
  async run(invocation) {
    const { values, stdout, stderr, stop } = invocation;
    const [stream = '', ...files] = positionalsOf(invocation, ['stream', 'file'], filesMax);
    const mappings = files.map((file) => ({ file, mapping: mappingOf(values, stream, file) }));
    const state = await loadState(textOf(values, 'state'));
    const badPath = textOf(values, 'bad') ?? 'import-bad.ndjson';
    const bad = createBadRecords(badPath);
    const tally: Tally = { stored: 0, present: 0, bad: 0 };
    const progress = createProgress(stderr, values['no-progress'] !== true, () => performance.now());
    const connection = connect(invocation, 'write');
    try {
      for (const { file, mapping } of mappings) {
        await importInput(file, {
          ...{ parts: connection.parts, mapping, state, bad, tally, progress, stop },
          stdin: invocation.stdin,
          source: textOf(values, 'source'),
          batchEvents: wholeOf(values, 'batch', 1, 1_000) ?? 500,
        });
        if (stop.aborted) break;
      }
    } finally {
      progress.clear();
      await bad.close();
      await connection.close();
    }
    const { stored, present } = tally;
    const summary = `${stored} stored, ${present} were there already, ${tally.bad} bad${tally.bad > 0 ? `: see ${badPath}` : ''}`;
    await stdout.write(`${summary}${stop.aborted ? '. Stopped: run it again to go on' : ''}\n`);
    return tally.bad > 0 ? exitCodes.someBad : exitCodes.done;
  },
};

function mappingOf(values: Values, stream: string, file: string): Mapping {
  const format = oneOf(values, 'format', formats) ?? formatOf(file);
  const delimiterText = textOf(values, 'delimiter') ?? ',';
  const delimiter = delimiterText === 'tab' ? '\t' : delimiterText;
  if (!/^[\x20-\x7e\t]$/.test(delimiter) || delimiter === '"')
    throw new UsageError('--delimiter must be one ASCII character, or tab');
  const name = textOf(values, 'name');
  const nameField = textOf(values, 'name-field');
  if (name !== undefined && nameField !== undefined)
    throw new UsageError('--name and --name-field exclude each other');
  const timeField = textOf(values, 'time-field');
  const mapping = {
    ...{ format, stream, name, nameField, timeField, delimiter },
    keyField: textOf(values, 'key-field'),
    idField: textOf(values, 'id-field'),
    strings: values['strings'] === true,
  };
  const { keyField, idField } = mapping;
  const mapped = [timeField, keyField, idField].some((one) => one !== undefined);
  if ((format === 'csv' || (format === 'ndjson' && mapped)) && name === undefined && nameField === undefined)
    throw new UsageError('events need a name: --name or --name-field');
  if (format.startsWith('com') && timeField !== undefined)
    throw new UsageError('--time-field is not for logs, whose lines have a time');
  return mapping;
}

function formatOf(file: string): Format {
  const name = file.replace(/\.gz$/, '');
  if (/\.(ndjson|jsonl)$/.test(name)) return 'ndjson';
  if (name.endsWith('.csv')) return 'csv';
  throw new UsageError(`--format is needed for ${file}: one of ${formats.join(', ')}`);
}
