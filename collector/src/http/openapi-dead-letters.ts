import { paths, rejectionCodes, streamNamePattern } from '@tidemark/core/wire';
import { z } from 'zod';
import { deadLettersPage, replayBody } from './dead-letters.ts';
import { type Operation, timeSchema } from './openapi.ts';

const id = z.string().describe('The id of the dead letter.');
const count = z.int().min(0);
const nextCursor = z.string().nullable().describe('Where to go on; null: there are no more.');
const eventId = z.string().nullable().describe('The id that the event was sent with.');
const stream = z.string().nullable().describe('Where the event would have gone, if that is known.');

const deadLetter = z.strictObject({
  id,
  code: z.enum(rejectionCodes).describe('Why it was rejected last.'),
  message: z.string(),
  stream,
  eventId,
  key: z.string().nullable(),
  keyId: z.string().describe('The key that it was sent with; `spool` where that is not known any more.'),
  rejectedAt: timeSchema,
  receivedAt: timeSchema,
  sentAt: timeSchema.nullable(),
  clock: z.strictObject({ offsetMs: z.number(), rttMs: z.number() }).nullable(),
  format: z.enum(['event', 'cloudEvent']),
  raw: z.string().describe('The text of the event: its first 64 KiB.'),
  truncated: z.boolean().describe('The text goes on: the event cannot be replayed.'),
});

const outcome = z.strictObject({
  id,
  stream,
  eventId,
  status: z.enum(['stored', 'duplicate', 'rejected']),
  code: z.enum(rejectionCodes).exactOptional(),
  message: z.string().exactOptional(),
});

/** Rejected events, for the admin. */
export const deadLettersOperations: readonly Operation[] = [
  {
    method: 'get',
    path: paths.deadLetters,
    id: 'listDeadLetters',
    summary: 'Events that were rejected, in the order in which they were',
    role: 'admin',
    parameters: [
      query('stream', 'Only letters of this stream.', z.string().regex(streamNamePattern)),
      query('code', 'Only letters with this code.', z.enum(rejectionCodes)),
      query('keyId', 'Only letters that were sent with this key.', z.string()),
      query('cursor', 'The `nextCursor` of the list before.', z.string()),
      query(
        'limit',
        'Letters of the list; fewer come where they are long.',
        z.int().min(1).max(deadLettersPage.max).default(deadLettersPage.default),
      ),
    ],
    reply: { 'application/json': z.strictObject({ deadLetters: z.array(deadLetter), nextCursor }) },
    problems: ['invalid_parameter'],
  },
  {
    method: 'post',
    path: paths.deadLettersReplay,
    id: 'replayDeadLetters',
    summary: 'Send rejected events once more',
    description:
      'They get the event time that they would have had. What is stored, or was already, leaves the dead letters; the same request may be sent again.',
    role: 'admin',
    body: { 'application/json': replayBody },
    reply: {
      'application/json': z.strictObject({
        stored: count,
        duplicates: count,
        rejected: count,
        results: z.array(outcome),
        nextCursor,
      }),
    },
    problems: ['malformed', 'invalid_parameter', 'body_too_large', 'overloaded', 'store_unavailable'],
  },
];

function query(name: string, description: string, schema: z.ZodType) {
  return { in: 'query', name, description, schema } as const;
}
