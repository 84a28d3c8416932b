import type { Random } from '../harness/seed.ts';
import type { FuzzRequest, Header } from './request.ts';
import { anyText, type Schema, valueOf } from './values.ts';

/** A route, as the collector describes it: what is added to the collector is fuzzed without a change here. */
export interface Operation {
  readonly method: string;
  readonly path: string;
  readonly role: Role | undefined;
  readonly parameters: readonly Parameter[];
  readonly bodies: readonly (readonly [type: string, schema: Schema])[];
}

type Role = 'write' | 'read' | 'admin';

interface Parameter {
  readonly in: 'path' | 'query' | 'header';
  readonly name: string;
  readonly schema: Schema;
}

interface Described {
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

export function operationsOf(openapi: { paths: Record<string, Record<string, Described>> }): Operation[] {
  return Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { description, parameters = [], requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      role: /Needs a (write|read|admin) key/.exec(description ?? '')?.[1] as Role | undefined,
      parameters,
      bodies: Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) => [type, schema] as const),
    })),
  );
}

/** What a request may name that is really there. */
export interface Places {
  readonly keys: Readonly<Record<Role, string>>;
  /** By the name of a parameter. */
  readonly names: Readonly<Record<string, readonly string[]>>;
}

/** A request as the description wants it, or not quite. */
export function requestTo(operation: Operation, { keys, names }: Places, random: Random): FuzzRequest {
  const { method, path, parameters, bodies, role } = operation;
  const value = ({ name, schema }: Parameter): string => {
    const real = names[name];
    if (real !== undefined && random.below(4) > 0) return real[random.below(real.length)] ?? '';
    if (random.below(4) === 0) return anyText(random);
    return String(valueOf(schema, random));
  };
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const parameter = parameters.find((one) => one.in === 'path' && one.name === name);
    return encoded(value(parameter ?? { in: 'path', name, schema: {} }), random);
  });
  const query = parameters
    .filter((one) => one.in === 'query' && random.below(3) === 0)
    .map(
      (one) =>
        `${one.name}=${encoded(one.name === 'wait' && random.below(50) > 0 ? '0' : value(one), random)}`,
    );
  if (random.below(20) === 0)
    query.push(`${encoded(anyText(random), random)}=${encoded(anyText(random), random)}`);
  const headers: Header[] = parameters
    .filter((one) => one.in === 'header' && random.below(3) === 0)
    .map((one) => [one.name, printable(value(one))]);

  const key =
    random.below(10) > 0
      ? keys[role ?? 'read']
      : random.oneOf([...Object.values(keys), anyText(random)] as [string]);
  if (random.below(30) > 0) {
    const place = random.below(5);
    if (place === 0) query.push(`key=${encoded(key, random)}`);
    else if (place === 1)
      headers.push(['authorization', `Basic ${Buffer.from(`${key}:`).toString('base64')}`]);
    else headers.push(['authorization', `Bearer ${printable(key)}`]);
  }
  const accept = random.oneOf([
    '',
    '',
    '*/*',
    'application/json',
    'application/x-ndjson',
    'text/event-stream',
  ]);
  if (accept !== '') headers.push(['accept', accept]);
  const chosen = bodies[random.below(bodies.length)];
  if (chosen !== undefined) headers.push(['content-type', chosen[0]]);
  return {
    method,
    target: query.length === 0 ? filled : `${filled}?${query.join('&')}`,
    headers,
    body: chosen === undefined ? undefined : Buffer.from(JSON.stringify(valueOf(chosen[1], random))),
  };
}

/** Usually encoded as it should be. */
function encoded(text: string, random: Random): string {
  if (random.below(20) === 0) return printable(text).replaceAll(/[ #?&]/g, '');
  // Through UTF-8, as half a surrogate pair cannot be encoded.
  return encodeURIComponent(Buffer.from(text).toString());
}

/** What can stand in a line. */
function printable(text: string): string {
  return text.replaceAll(/[^\x21-\x7e\x80-\xff]/g, '');
}
