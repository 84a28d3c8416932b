import type { HonoRequest } from 'hono';
import type { z } from 'zod';
import { createProblem, ProblemError } from '../errors.ts';

/** Bodies that are not events are short. */
export const jsonBodyBytesMax = 16_384;

/**
 * The body of a request that is a short JSON object; an empty one counts as `{}`. Rejects with a ProblemError: `body_too_large`,
 * `malformed` where it is not JSON, `invalid_parameter` where the schema does not allow it. `example` is shown to people.
 */
export async function readJsonBody<Schema extends z.ZodType>(
  { raw }: Pick<HonoRequest, 'raw'>,
  schema: Schema,
  example: object,
  bytesMax = jsonBodyBytesMax,
): Promise<z.infer<Schema>> {
  const text = await readText(raw, bytesMax);
  let value: unknown;
  try {
    value = text.trim() === '' ? {} : JSON.parse(text);
  } catch {
    const detail = `The body is not JSON: send an object such as ${JSON.stringify(example)}`;
    throw new ProblemError(createProblem('malformed', detail));
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(
    ({ path, message }) => `${path.join('.') || 'the body'}: ${message}`,
  );
  throw new ProblemError(createProblem('invalid_parameter', issues.join('; ')));
}

/** Reads no further than it has to. */
async function readText({ body }: Request, bytesMax: number): Promise<string> {
  if (body === null) return '';
  const chunks: Uint8Array[] = [];
  let actual = 0;
  for await (const chunk of untilCut(body as AsyncIterable<Uint8Array>)) {
    actual += chunk.length;
    if (actual > bytesMax) {
      const detail = `The body has ${actual} bytes or more, the limit is ${bytesMax} here.`;
      throw new ProblemError(createProblem('body_too_large', detail, { limit: bytesMax, actual }));
    }
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new ProblemError(createProblem('malformed', 'The body is not UTF-8.'));
  }
}

/** What a broken connection throws means nothing to anybody else. */
async function* untilCut(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch {
    throw new ProblemError(createProblem('malformed', 'The body ended before its end.'));
  }
}
