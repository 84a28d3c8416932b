import type { Random } from '../harness/seed.ts';

/** What of JSON Schema the description of the API uses. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
}

const texts = [
  '',
  ' ',
  'a',
  'orders',
  'null',
  'true',
  '0',
  '-1',
  '1',
  '2',
  '10',
  '1000',
  '1e400',
  '-0',
  '9007199254740993',
  'NaN',
  '٣',
  '2026-01-31T12:00:00Z',
  '0001-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999999Z',
  '99999-01-01T00:00:00Z',
  '2026-02-30T25:61:61+99:99',
  'earliest',
  'latest',
  "'; drop table tidemark.keys; --",
  "' or '1'='1",
  '$1',
  '\\',
  '%',
  '%00',
  '\0',
  '\r\nx: y',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  'é',
  '事件',
  '💥',
  '\ud800',
  '\udfff',
  '\ufeff',
  '\u202e',
  '[]',
  '{}',
  '*',
  '1/2',
  '0/0',
  '1/1000',
  'props.a',
  'props.__proto__.b',
  'props.',
  '60s',
  '1d',
  '0s',
  '999999999d',
  'json',
  'ndjson',
  'gzip',
] as const;

/** A text that somebody may once have sent. */
export function anyText(random: Random): string {
  const kind = random.below(12);
  if (kind === 0) return random.oneOf(texts).repeat(1 + random.below(300));
  if (kind === 1)
    return String.fromCharCode(...Array.from({ length: random.below(20) }, () => random.below(65_536)));
  return random.oneOf(texts);
}

/** Any JSON, as text: also what no serializer writes. */
export function anyJson(random: Random, depth = 0): string {
  const kind = random.below(depth > 4 ? 6 : 10);
  switch (kind) {
    case 0:
      return random.oneOf(['null', 'true', 'false']);
    case 1:
      return random.oneOf([
        '0',
        '-0',
        '1',
        '-1',
        '1.5',
        '1e308',
        '1e400',
        '1e131073',
        '-1e-400',
        '9007199254740993',
        '1E+2',
        '123456789012345678901234567890.5',
      ]);
    case 2:
      return random.oneOf([
        '01',
        '.5',
        '+1',
        'NaN',
        'undefined',
        '"\\u12"',
        '"\\x"',
        "'a'",
        '"\n"',
        '',
        '{',
        '[',
        '"',
      ]);
    case 3:
    case 4:
    case 5:
      return JSON.stringify(anyText(random));
    case 6:
      return `[${Array.from({ length: random.below(5) }, () => anyJson(random, depth + 1)).join(',')}]`;
    case 7:
      return random.oneOf(['[', '{"a":']).repeat(1 + random.below(3_000));
    default:
      return `{${Array.from({ length: random.below(5) }, () => `${JSON.stringify(anyText(random))}:${anyJson(random, depth + 1)}`).join(',')}}`;
  }
}

/** A value that the schema allows, nearly always. */
export function valueOf(schema: Schema | undefined, random: Random): unknown {
  if (schema === undefined) return anyText(random);
  const choices = schema.enum ?? schema.anyOf ?? schema.oneOf;
  if (schema.const !== undefined) return schema.const;
  if (choices !== undefined && choices.length > 0) {
    const chosen = choices[random.below(choices.length)];
    return schema.enum === undefined ? valueOf(chosen as Schema, random) : chosen;
  }
  const type =
    typeof schema.type === 'string' ? schema.type : schema.type?.[random.below(schema.type.length)];
  switch (type) {
    case 'integer':
    case 'number':
      return numberOf(schema, random);
    case 'boolean':
      return random.below(2) === 0;
    case 'null':
      return null;
    case 'array':
      return Array.from({ length: random.below(4) }, () => valueOf(schema.items, random));
    case 'object':
      return objectOf(schema, random);
    case undefined:
    default:
      return schema.format === 'date-time'
        ? '2026-01-31T12:00:00.000001Z'
        : random.oneOf(['orders', 'reports', 'a', '2026-01-31T12:00:00Z', 'latest', anyText(random)]);
  }
}

function numberOf({ minimum = 0, maximum = 1_000_000 }: Schema, random: Random): number {
  return random.oneOf([
    minimum,
    maximum,
    minimum + random.below(10),
    minimum - 1,
    maximum + 1,
    random.below(100),
  ]);
}

function objectOf({ properties = {} }: Schema, random: Random): object {
  const members = Object.entries(properties)
    .filter(() => random.below(4) > 0)
    .map(([name, schema]) => [name, valueOf(schema, random)] as const);
  return Object.fromEntries(members);
}
