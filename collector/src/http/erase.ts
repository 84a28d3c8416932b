import { earliestMicros, formatTime, parseTime, streamNamePattern } from '@tidemark/core/wire';
import { Hono } from 'hono';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';
import type { Erasure, Erasures } from '../store/erase.ts';
import type { Streams } from '../store/streams.ts';
import type { Authenticate } from './authenticate.ts';
import { readJsonBody } from './json-body.ts';
import type { Replies } from './respond.ts';
import { streamNotFound } from './stream-events.ts';

export interface EraseDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly streams: Pick<Streams, 'find'>;
  readonly erasures: Erasures;
  readonly clock: Pick<Clock, 'random'>;
}

export const eraseBody = z.strictObject({
  key: z
    .string()
    .min(1)
    .regex(/^[^\0\p{Surrogate}]*$/u, 'must be text')
    .describe('The key of the events.'),
  erasedThrough: z
    .string()
    .exactOptional()
    .describe('From the answer before: go on with that erasure. Without it a new one begins.'),
});

/** A request works for about so long, in milliseconds; then it is asked again. */
const budgetMs = 2_000;

/** `POST /v1/streams/{stream}/erase`: for the admin. One at a time in each collector, as it competes with ingest for the disk. */
export function createEraseRoute({
  authenticate,
  replies,
  streams,
  erasures,
  clock,
}: EraseDependencies): Hono {
  let erasing = false;

  return new Hono().post('/v1/streams/:stream/erase', async (context) => {
    const name = context.req.param('stream');
    await authenticate(context, { role: 'admin' });
    const body = await readJsonBody(context.req, eraseBody, { key: 'user-7' });
    const after = body.erasedThrough === undefined ? undefined : parseTime(body.erasedThrough);
    if (body.erasedThrough !== undefined && after === undefined) throw badMark(body.erasedThrough);
    const stream = streamNamePattern.test(name) ? await streams.find(name) : undefined;
    if (stream === undefined) throw streamNotFound(name);
    if (erasing) throw busy(clock);
    erasing = true;
    try {
      const { streamId } = stream;
      const begun = after === undefined ? undefined : await erasures.find(streamId, body.key);
      if (begun === undefined || begun.erasedThrough < (after ?? 0n)) {
        const marked = await erasures.begin(streamId, body.key);
        if (marked === 'full') throw tooMany();
        if (marked === 'gone') throw streamNotFound(name);
      }
      const erasure = await erasures.advance(streamId, body.key, budgetMs);
      if (erasure === undefined) throw streamNotFound(name);
      return replies.json({ stream: name, ...describeErasure(erasure) });
    } finally {
      erasing = false;
    }
  });
}

function describeErasure({ erasedThrough, walkedTo, until, erased, letters, done }: Erasure) {
  const reached = walkedTo < until ? walkedTo : until;
  return {
    erasedThrough: formatTime(erasedThrough),
    done,
    events: Number(erased),
    deadLetters: Number(letters),
    walkedTo: reached <= earliestMicros ? null : formatTime(reached),
  };
}

function badMark(text: string): ProblemError {
  const detail = `erasedThrough is ${JSON.stringify(text.slice(0, 80))}: it must be the one of the answer before`;
  return new ProblemError(createProblem('invalid_parameter', detail));
}

function busy({ random }: Pick<Clock, 'random'>): ProblemError {
  const numbers = { retryAfterMs: Math.ceil(1_000 * (1 + random())) };
  return new ProblemError(createProblem('overloaded', 'Another erasure is at work: ask again.', numbers));
}

function tooMany(): ProblemError {
  const detail = 'There are a million marks of erasures, which is the most: they go after 400 days';
  return new ProblemError(createProblem('too_many_erasures', detail));
}
