import { isIP } from 'node:net';
import { parseTime } from '@tidemark/core/wire';
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import { schemaOutOfBounds } from './schema-bounds.ts';
import { linearRegExp } from './schema-regexp.ts';

/** What is wrong with props; undefined: nothing. */
export type CheckProps = (props: unknown) => string | undefined;

export type Compiled =
  | { readonly ok: true; readonly check: CheckProps }
  | { readonly ok: false; readonly message: string };

/**
 * Makes a check of a JSON Schema (2020-12). What it costs to compile and to run is bounded, whatever the schema and the props are: by the
 * bounds of a schema, by regular expressions that take linear time, and by our own `uniqueItems`. Nothing is fetched, and keywords and
 * formats that are not known are refused rather than passed over.
 *
 * Props are checked as JavaScript sees them: numbers with the 53 bits of a double. What is stored is the text that was sent.
 */
export function compileSchema(schema: object): Compiled {
  const outOfBounds = schemaOutOfBounds(schema);
  if (outOfBounds !== undefined) return { ok: false, message: outOfBounds };
  if ('$schema' in schema && !dialects.has(String(schema.$schema)))
    return { ok: false, message: `$schema must be ${[...dialects][0]}, or left out` };
  try {
    const validate = createAjv().compile(schema);
    return {
      ok: true,
      check: (props) => (validate(props) ? undefined : describe(validate.errors?.[0])),
    };
  } catch (error) {
    return {
      ok: false,
      message: error instanceof Error ? error.message.slice(0, 500) : 'it cannot be compiled',
    };
  }
}

const dialects: ReadonlySet<string> = new Set([
  'https://json-schema.org/draft/2020-12/schema',
  'https://json-schema.org/draft/2020-12/schema#',
]);

/** One for each schema: they know nothing of each other. */
function createAjv(): Ajv2020 {
  const ajv = new Ajv2020({
    // Keywords that are not known are refused; the rest of what it finds strange is allowed.
    strict: true,
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    strictNumbers: false,
    allowUnionTypes: true,
    ownProperties: true,
    logger: false,
    formats,
    code: { regExp: linearRegExp },
  });
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    error: { message: 'must not have two items that are the same' },
    validate: (wanted: boolean, items: readonly unknown[]) =>
      !wanted || new Set(items.map(canonical)).size === items.length,
  });
  return ajv;
}

const formats = {
  'date-time': (text: string) => parseTime(text) !== undefined,
  date: (text: string) => /^\d{4}-\d\d-\d\d$/.test(text) && parseTime(`${text}T00:00:00Z`) !== undefined,
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  email: /^[^\s@]{1,64}@[^\s@]{1,255}$/,
  uri: (text: string) => /^[a-z][a-z0-9+.-]*:/i.test(text) && URL.canParse(text),
  ipv4: (text: string) => isIP(text) === 4,
  ipv6: (text: string) => isIP(text) === 6,
};

/** The same text for values that are the same: comparing each with each would take the square of their number. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).map(
    ([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`,
  );
  return `{${members.sort().join(',')}}`;
}

/** Where and what, without the values that were sent. */
function describe(error: ErrorObject | undefined): string {
  if (error === undefined) return 'the props are not what the schema allows';
  const path = error.instancePath.length > 200 ? `${error.instancePath.slice(0, 200)}…` : error.instancePath;
  return `props${path} ${error.message ?? 'is not what the schema allows'}`;
}
