import { formatTime, type Limits, schemaModes, streamNamePattern } from '@tidemark/core/wire';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { createProblem, ProblemError } from '../errors.ts';
import { compileSchema } from '../ingest/schema-compile.ts';
import type { Schemas, StoredSchema } from '../store/schemas.ts';
import type { Stream, Streams } from '../store/streams.ts';
import type { Authenticate } from './authenticate.ts';
import { readJsonBody } from './json-body.ts';
import { readWhole } from './query-parameter.ts';
import type { Replies } from './respond.ts';
import { streamNotFound } from './stream-events.ts';

export interface SchemasDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly streams: Pick<Streams, 'find'>;
  readonly schemas: Schemas;
  readonly limits: Pick<Limits, 'nameCharacters'>;
}

/** Schemas of a list: the default and the most. */
export const schemasPage = { default: 100, max: 1_000 } as const;

export const schemaBody = z.strictObject({
  mode: z
    .enum(schemaModes)
    .describe('`warn`: what does not match is stored and counted. `enforce`: it is rejected.'),
  schema: z.record(z.string(), z.unknown()).describe('JSON Schema 2020-12, for the props.'),
});

const listPath = '/v1/streams/:stream/schemas';
const path = `${listPath}/:name`;

/** `GET /v1/streams/{stream}/schemas`, and `GET`, `PUT` and `DELETE …/schemas/{name}`: of the events of that name. */
export function createSchemasRoute(dependencies: SchemasDependencies): Hono {
  const { authenticate, replies, schemas, limits } = dependencies;

  async function streamOf(context: Context): Promise<Stream> {
    const name = context.req.param('stream') ?? '';
    const stream = streamNamePattern.test(name) ? await dependencies.streams.find(name) : undefined;
    if (stream === undefined) throw streamNotFound(name);
    return stream;
  }

  return new Hono()
    .get(listPath, async (context) => {
      await authenticate(context, { role: 'read', stream: context.req.param('stream') });
      const limit = readWhole('limit', context.req.query('limit'), schemasPage);
      const { streamId, name } = await streamOf(context);
      const page = await schemas.list(streamId, context.req.query('cursor') ?? '', limit);
      const last = page.at(-1);
      return replies.json({
        schemas: page.map((schema) => describeSchema(name, schema)),
        nextCursor: page.length === limit && last !== undefined ? last.name : null,
      });
    })
    .get(path, async (context) => {
      await authenticate(context, { role: 'read', stream: context.req.param('stream') });
      const stream = await streamOf(context);
      const schema = await schemas.find(stream.streamId, context.req.param('name'));
      if (schema === undefined) throw schemaNotFound(context.req.param('name'));
      return replies.json(describeSchema(stream.name, schema));
    })
    .put(path, async (context) => {
      await authenticate(context, { role: 'admin' });
      const name = eventName(context.req.param('name'), limits.nameCharacters);
      const { mode, schema } = await readJsonBody(context.req, schemaBody, {
        mode: 'warn',
        schema: { type: 'object', required: ['total'] },
      });
      const compiled = compileSchema(schema);
      if (!compiled.ok) throw badSchema(compiled.message);
      const stream = await streamOf(context);
      const stored = await schemas.put(stream.streamId, name, mode, schema);
      if (stored === undefined) throw tooMany();
      return replies.json(describeSchema(stream.name, stored));
    })
    .delete(path, async (context) => {
      await authenticate(context, { role: 'admin' });
      const stream = await streamOf(context);
      const name = context.req.param('name');
      if (!(await schemas.remove(stream.streamId, name))) throw schemaNotFound(name);
      return replies.json({ stream: stream.name, name, deleted: true });
    });
}

function describeSchema(stream: string, stored: StoredSchema) {
  const { name, mode, schema, changedAt, warned, rejected } = stored;
  return {
    stream,
    name,
    mode,
    schema,
    changedAt: formatTime(changedAt),
    warned: Number(warned),
    rejected: Number(rejected),
  };
}

/** As long as events may have it, and text that Postgres can hold. */
function eventName(name: string, charactersMax: number): string {
  const characters = Array.from(name).length;
  if (characters >= 1 && characters <= charactersMax && !/[\0\p{Surrogate}]/u.test(name)) return name;
  const detail = `The name of events has 1 to ${charactersMax} characters, not ${JSON.stringify(name.slice(0, 80))}`;
  throw new ProblemError(createProblem('invalid_parameter', detail));
}

function badSchema(message: string): ProblemError {
  return new ProblemError(createProblem('invalid_parameter', `schema: ${message}`));
}

function schemaNotFound(name: string): ProblemError {
  const detail = `There is no schema for events named ${JSON.stringify(name.slice(0, 80))} in this stream`;
  return new ProblemError(createProblem('schema_not_found', detail));
}

function tooMany(): ProblemError {
  return new ProblemError(
    createProblem('too_many_schemas', 'There are as many schemas as there may be: delete one'),
  );
}
