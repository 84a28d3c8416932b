import { headers, type Json, type Problem, type ProblemCode, problems } from '@tidemark/core/wire';
import { z } from 'zod';
import type { Role } from './authenticate-key.ts';

/**
 * A route as the API's description shows it. Descriptions are data beside the routes, not middleware in them: the hot path checks
 * what it reads by itself, and nothing that only describes should run with every request.
 */
export interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** Parameters in braces: `/v1/streams/{stream}`. */
  readonly path: string;
  readonly id: string;
  readonly summary: string;
  readonly description?: string;
  /** null: no key is needed. */
  readonly role: Role | null;
  readonly parameters?: readonly Parameter[];
  /** Bodies by media type. */
  readonly body?: Readonly<Record<string, z.ZodType>>;
  /** The reply by media type; its status is 200. */
  readonly reply: Readonly<Record<string, z.ZodType>>;
  /** Beside those that a key and a failure can bring. */
  readonly problems: readonly ProblemCode[];
}

export interface Parameter {
  readonly in: 'path' | 'query' | 'header';
  readonly name: string;
  readonly description: string;
  readonly schema: z.ZodType;
}

/** The whole API in OpenAPI 3.1. */
export function describeApi(operations: readonly Operation[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) {
    const path = paths[operation.path] ?? {};
    path[operation.method] = describeOperation(operation);
    paths[operation.path] = path;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tidemark',
      version: '1',
      description:
        'Takes events, stamps when they were sent and received, and gives them back in event-time order through cursors.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      schemas: { Problem: jsonSchema(problemSchema) },
      headers: {
        [headers.pressure]: {
          description: 'How full the collector is, 0.00 to 1.00. Clients slow down from 0.5 on.',
          schema: { type: 'string', pattern: '^[01]\\.\\d\\d$' },
        },
        'Retry-After': {
          description: 'Whole seconds, at least 1. The body says the same in milliseconds, as retryAfterMs.',
          schema: { type: 'integer', minimum: 1 },
        },
      },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The key.' },
        basic: { type: 'http', scheme: 'basic', description: 'The key as the user, without a password.' },
        query: { type: 'apiKey', in: 'query', name: 'key', description: 'Costs no preflight.' },
      },
    },
  };
}

/** The body of every refusal: RFC 9457. */
export const problemSchema = z.object({
  type: z.string().describe('A URN with the code.'),
  title: z.string(),
  status: z.int(),
  code: z.enum(problemCodes()).describe('Decide by it.'),
  detail: z.string().describe('What happened, which value, which limit, what to do: for people.'),
  limit: z.number().exactOptional().describe('With 413.'),
  actual: z.number().exactOptional().describe('With 413; a lower bound.'),
  retryAfterMs: z.number().exactOptional().describe('With 429 and 503.'),
  earliestCursor: z.string().exactOptional().describe('With cursor_expired: the oldest that can be read.'),
  resumeCursor: z
    .string()
    .exactOptional()
    .describe('With epoch_changed and cursor_conflict: where to go on.'),
}) satisfies z.ZodType<Problem>;

/** Any JSON value: described as such, as a reference to itself would point nowhere in the whole document. */
export const jsonValueSchema: z.ZodType<Json> = z.any();

/** A time on the wire. */
export const timeSchema = z.string().meta({
  format: 'date-time',
  description: 'RFC 3339 with microseconds, UTC.',
  examples: ['2026-01-31T23:59:59.000001Z'],
});

function describeOperation(operation: Operation): object {
  const { id, summary, description, role, parameters = [], body, reply } = operation;
  return {
    operationId: id,
    summary,
    description: [description, role === null ? 'No key.' : `Needs a ${role} key.`].filter(Boolean).join(' '),
    security: role === null ? [] : [{ bearer: [] }, { basic: [] }, { query: [] }],
    ...(parameters.length === 0 ? {} : { parameters: parameters.map(describeParameter) }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: describeContent(body, 'input') } }),
    responses: {
      200: { description: 'Done.', headers: describeHeaders(200), content: describeContent(reply, 'output') },
      ...describeProblems(operation),
    },
  };
}

function describeParameter({ in: place, name, description, schema }: Parameter): object {
  return { in: place, name, description, required: place === 'path', schema: jsonSchema(schema, 'input') };
}

function describeContent(content: Readonly<Record<string, z.ZodType>>, io: 'input' | 'output'): object {
  return Object.fromEntries(
    Object.entries(content).map(([type, schema]) => [type, { schema: jsonSchema(schema, io) }]),
  );
}

/** One response for each status, with the codes it may have. */
function describeProblems({ role, problems: own }: Operation): object {
  const ofKey: readonly ProblemCode[] =
    role === null ? [] : ['unauthenticated', 'forbidden', 'overloaded', 'store_unavailable'];
  const codes = [...new Set<ProblemCode>([...own, ...ofKey, 'internal'])];
  const statuses = [...new Set(codes.map((code) => problems[code].status))];
  return Object.fromEntries(
    statuses.map((status) => {
      const those = codes.filter((code) => problems[code].status === status);
      return [
        status,
        {
          description: those.map((code) => `\`${code}\`: ${problems[code].title}.`).join(' '),
          headers: describeHeaders(status),
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ];
    }),
  );
}

function describeHeaders(status: number): object {
  const names = status === 429 || status === 503 ? [headers.pressure, 'Retry-After'] : [headers.pressure];
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

/**
 * OpenAPI 3.1 takes JSON Schema as it is. Replies may get more members later: clients must not refuse them. That a JSON number
 * has no more than 53 bits need not be said of every one.
 */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output' = 'output'): object {
  const { $schema: _, ...described } = z.toJSONSchema(schema, {
    io,
    override({ jsonSchema: one }) {
      if (io === 'output' && one.additionalProperties === false) delete one.additionalProperties;
      if (one.maximum === Number.MAX_SAFE_INTEGER) delete one.maximum;
      if (one.minimum === Number.MIN_SAFE_INTEGER) delete one.minimum;
    },
  });
  return described;
}

function problemCodes(): ProblemCode[] {
  return Object.keys(problems).filter((code): code is ProblemCode => code in problems);
}
