import {
  type BatchReply,
  type ClientClock,
  dropReasons,
  type EventResult,
  type Limits,
  paths,
  rejectionCodes,
  type SentBatch,
  type SentEvent,
  streamNamePattern,
} from '@tidemark/core/wire';
import { z } from 'zod';
import { jsonValueSchema, type Operation, type Parameter, timeSchema } from './openapi.ts';

/** Sending. What is sent is checked by our own decoder, event by event; this says what it accepts. */
export function eventsOperations(limits: Limits): readonly Operation[] {
  return [
    {
      method: 'post',
      path: paths.events,
      id: 'sendEvents',
      summary: 'Store a batch of events',
      description:
        'Answers when what it accepted is on disk. One bad event does not fail its batch: it is listed in `results`. ' +
        `A body may have ${limits.bodyBytes} bytes, an event ${limits.eventBytes}, its JSON ${limits.jsonDepth} levels. ` +
        'It may be compressed with gzip, deflate or br. CloudEvents come in their structured, batch and binary forms.',
      role: 'write',
      parameters: [
        ...attemptParameters,
        {
          in: 'query',
          name: 'dropped',
          description:
            'What the client has given up since the batch before, for the collector to count: a JSON object of numbers by reason ' +
            `(${dropReasons.map((reason) => `\`${reason}\``).join(', ')}).`,
          schema: z.string(),
        },
      ],
      body: {
        'application/json': sentBatch(limits),
        'text/plain': sentBatch(limits),
        'application/x-ndjson': z.string().describe('An event a line, as in `events`.'),
        'application/cloudevents+json': z.looseObject({}),
        'application/cloudevents-batch+json': z.array(z.looseObject({})),
      },
      reply: { 'application/json': batchReply },
      problems: takingProblems,
    },
    {
      method: 'get',
      path: paths.pixel,
      id: 'sendPixel',
      summary: 'Store one event, for where there is nothing but images',
      description:
        'Parameters that are not named here are its props, as strings. The image is the answer when the event is on disk.',
      role: 'write',
      parameters: [
        ...attemptParameters,
        { in: 'query', name: 'key', description: 'The write key.', schema: z.string() },
        { in: 'query', name: 'name', description: 'What happened.', schema: text(limits.nameCharacters) },
        { in: 'query', name: 'id', description: 'Unique in its stream.', schema: text(limits.idCharacters) },
        {
          in: 'query',
          name: 'stream',
          description: "By default the key's own, else `default`.",
          schema: z.string().regex(streamNamePattern),
        },
        {
          in: 'query',
          name: 'eventKey',
          description: 'What the event is about.',
          schema: text(limits.keyCharacters),
        },
        { in: 'query', name: 't', description: 'When it happened, RFC 3339.', schema: z.string() },
      ],
      reply: { 'image/gif': z.string() },
      problems: takingProblems,
    },
  ];
}

const takingProblems: Operation['problems'] = [
  'malformed',
  'request_timeout',
  'body_too_large',
  'batch_too_large',
  'unsupported_media_type',
  'overloaded',
  'rate_limited',
  'store_unavailable',
  'shutting_down',
];

/** What changes with every attempt may stand in the query, and wins over the body. */
const attemptParameters: readonly Parameter[] = [
  {
    in: 'query',
    name: 'sentAt',
    description: "The client's clock when this attempt was sent.",
    schema: z.string(),
  },
  {
    in: 'query',
    name: 'offsetMs',
    description: "The server's clock minus the client's.",
    schema: z.number(),
  },
  {
    in: 'query',
    name: 'rttMs',
    description: 'The round trip of the sample it was taken from.',
    schema: z.number(),
  },
];

function sentBatch(limits: Limits): z.ZodType<SentBatch> {
  const event = z.looseObject({
    id: text(limits.idCharacters)
      .exactOptional()
      .describe('Unique in its stream. Without it one is made, and a retry is stored again.'),
    stream: z
      .string()
      .regex(streamNamePattern)
      .exactOptional()
      .describe("By default the key's own, else `default`."),
    name: text(limits.nameCharacters),
    occurredAt: z
      .string()
      .exactOptional()
      .describe("When it happened by the client's clock, RFC 3339. An event is never rejected for its time."),
    key: text(limits.keyCharacters).exactOptional().describe('What the event is about: a user, an order …'),
    props: z.record(z.string(), jsonValueSchema).exactOptional(),
  }) satisfies z.ZodType<SentEvent>;
  const clock = z.looseObject({
    offsetMs: z.number().describe("The server's clock minus the client's."),
    rttMs: z.number().min(0).describe('The round trip of the sample it was taken from.'),
  }) satisfies z.ZodType<ClientClock>;
  return z.looseObject({
    sentAt: z
      .string()
      .exactOptional()
      .describe("The client's clock when this attempt was sent, RFC 3339: it corrects `occurredAt`."),
    clock: clock.exactOptional(),
    events: z.array(event).max(limits.batchEvents),
  });
}

const text = (charactersMax: number) => z.string().min(1).max(charactersMax);

const count = z.int().min(0);

const eventResult = z.union([
  z.strictObject({ index: count, id: z.string(), status: z.literal('duplicate') }),
  z.strictObject({
    index: count,
    id: z.string(),
    status: z.literal('accepted'),
    code: z.literal('id_generated'),
  }),
  z.strictObject({
    index: count,
    id: z.string().nullable(),
    status: z.literal('rejected'),
    code: z.enum(rejectionCodes),
    message: z.string(),
  }),
]) satisfies z.ZodType<EventResult>;

const batchReply = z.strictObject({
  receivedAt: timeSchema,
  respondedAt: timeSchema,
  durability: z
    .enum(['committed', 'spooled'])
    .describe(
      "`committed`: in Postgres. `spooled`: Postgres was away, and the events are on the collector's own disk until it is back; all that are valid count as accepted.",
    ),
  accepted: count,
  duplicates: count,
  rejected: count,
  results: z.array(eventResult).describe('Events that were not plainly accepted.'),
}) satisfies z.ZodType<BatchReply>;
