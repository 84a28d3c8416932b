import { parseCsv } from './csv.ts';
import { parseTimeField } from './time-field.ts';
import { parseLogLine } from './web-log.ts';

export const formats = ['ndjson', 'csv', 'common', 'combined'] as const;
export type Format = (typeof formats)[number];

/** How records become events. */
export interface Mapping {
  readonly format: Format;
  readonly stream: string;
  /** Of all events; undefined: the name stands in `nameField`, or, in NDJSON, in the event. */
  readonly name: string | undefined;
  readonly nameField: string | undefined;
  readonly timeField: string | undefined;
  readonly keyField: string | undefined;
  readonly idField: string | undefined;
  /** CSV: numbers too stay texts. */
  readonly strings: boolean;
  readonly delimiter: string;
}

/** The JSON text of an event for a record. `id` is used where it has none of its own. */
export type ToEvent = (
  record: string,
  id: string,
) => { readonly event: string } | { readonly mistake: string };

/** Fields by name: as text, and as the JSON text it had or gets in props. */
type Fields = ReadonlyMap<string, { readonly text: string; readonly json: string }>;

/** `header` is the first record of CSV. Throws where it cannot be one. */
export function createFormat(mapping: Mapping, header: string | undefined): ToEvent {
  switch (mapping.format) {
    case 'csv':
      return csvFormat(mapping, readHeader(header ?? '', mapping));
    case 'common':
    case 'combined':
      return (record, id) => {
        const request = parseLogLine(record, mapping.format === 'combined');
        if (request === undefined) return { mistake: `not a line of the ${mapping.format} log format` };
        const { name, nameField } = mapping;
        const named = { ...mapping, name: name ?? (nameField === undefined ? 'http.request' : undefined) };
        return describe(named, fieldsOf(request.props), JSON.stringify(request.props), id, request.time);
      };
    case 'ndjson': {
      const { name, nameField, timeField, keyField, idField } = mapping;
      const mapped = [name, nameField, timeField, keyField, idField].some((one) => one !== undefined);
      return mapped
        ? (record, id) => mappedObject(mapping, record, id)
        : (record, id) => wholeEvent(mapping, record, id);
    }
  }
}

/** The object is an event already: its text stays as it is, so that its numbers keep their digits. */
function wholeEvent({ stream }: Mapping, record: string, id: string): ReturnType<ToEvent> {
  const object = parseObject(record);
  if (object === undefined) return { mistake: 'not a JSON object' };
  if (typeof object['name'] !== 'string')
    return { mistake: 'has no name: say with --name or --name-field what its is' };
  const own = typeof object['id'] === 'string' && object['id'] !== '';
  const more = JSON.stringify({ stream, ...(!own && { id }) }).slice(1);
  // Of members with the same name the last counts.
  return { event: `${record.trimEnd().slice(0, -1)},${more}` };
}

/** The object is what happened: it becomes the props. */
function mappedObject(mapping: Mapping, record: string, id: string): ReturnType<ToEvent> {
  const object = parseObject(record);
  if (object === undefined) return { mistake: 'not a JSON object' };
  return describe(mapping, fieldsOf(object), record.trim(), id, undefined);
}

function csvFormat(mapping: Mapping, columns: readonly string[]): ToEvent {
  const { delimiter, strings } = mapping;
  return (record, id) => {
    const values = parseCsv(record, delimiter);
    if ('mistake' in values) return values;
    if (values.length !== columns.length)
      return { mistake: `has ${values.length} fields, the header has ${columns.length}` };
    const fields: Fields = new Map(
      columns.map((column, index) => {
        const text = values[index] ?? '';
        return [column, { text, json: !strings && isNumber(text) ? text : JSON.stringify(text) }];
      }),
    );
    const members = [...fields].map(([column, { json }]) => `${JSON.stringify(column)}:${json}`);
    return describe(mapping, fields, `{${members.join(',')}}`, id, undefined);
  };
}

function describe(
  mapping: Pick<Mapping, 'stream' | 'name' | 'nameField' | 'timeField' | 'keyField' | 'idField'>,
  fields: Fields,
  props: string,
  id: string,
  time: string | undefined,
): ReturnType<ToEvent> {
  const { stream, nameField, timeField, keyField, idField } = mapping;
  for (const field of [nameField, timeField, idField]) {
    if (field !== undefined && (fields.get(field)?.text ?? '') === '')
      return { mistake: `has nothing in ${field}` };
  }
  const occurredAt = timeField === undefined ? time : parseTimeField(fields.get(timeField)?.text ?? '');
  if (timeField !== undefined && occurredAt === undefined)
    return { mistake: `${timeField} is not a time: ${(fields.get(timeField)?.text ?? '').slice(0, 80)}` };
  const key = keyField === undefined ? undefined : fields.get(keyField)?.text;
  const head = JSON.stringify({
    id: idField === undefined ? id : fields.get(idField)?.text,
    stream,
    name: nameField === undefined ? mapping.name : fields.get(nameField)?.text,
    occurredAt,
    key: key === '' ? undefined : key,
  });
  return { event: `${head.slice(0, -1)},"props":${props}}` };
}

function readHeader(
  header: string,
  { delimiter, nameField, timeField, keyField, idField }: Mapping,
): readonly string[] {
  const columns = parseCsv(header, delimiter);
  if ('mistake' in columns) throw new Error(`The header of the CSV is not well-formed: ${columns.mistake}`);
  if (columns.includes('') || new Set(columns).size < columns.length)
    throw new Error('The first line of CSV names its columns: each must have a name of its own');
  const missing = [nameField, timeField, keyField, idField].find(
    (one) => one !== undefined && !columns.includes(one),
  );
  if (missing !== undefined)
    throw new Error(`There is no column ${missing}: there are ${columns.join(', ')}`);
  return columns;
}

function fieldsOf(object: Readonly<Record<string, unknown>>): Fields {
  return new Map(
    Object.entries(object)
      .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
      .map(([name, value]) => [name, { text: String(value), json: '' }]),
  );
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** What is a number in JSON, with no more digits than anybody computes with. */
function isNumber(text: string): boolean {
  return text.length <= 40 && /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?$/.test(text);
}
