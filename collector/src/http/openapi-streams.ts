import {
  clientIpModes,
  dedupeDaysDefault,
  type Page,
  type Pane,
  readLimits,
  retentionDaysMax,
  type StoredEvent,
  streamNamePattern,
  timeQualities,
  watermarkDelayMsDefault,
  watermarkDelayMsMax,
  windowLimits,
  type WindowsPage,
} from '@tidemark/core/wire';
import { z } from 'zod';
import { eraseBody } from './erase.ts';
import { jsonValueSchema, type Operation, type Parameter, timeSchema } from './openapi.ts';

const streamParameter: Parameter = {
  in: 'path',
  name: 'stream',
  description: 'The name of the stream.',
  schema: z.string().regex(streamNamePattern),
};

const cursor = z.string().max(64).describe('A place in one stream. It stays good until retention takes it.');

const storedEvent = z.strictObject({
  id: z.string(),
  stream: z.string(),
  name: z.string(),
  key: z.string().nullable(),
  props: z.record(z.string(), jsonValueSchema).nullable(),
  occurredAt: timeSchema.nullable(),
  sentAt: timeSchema.nullable(),
  receivedAt: timeSchema,
  eventTime: timeSchema.describe("`occurredAt`, corrected for the client's clock."),
  orderTime: timeSchema.describe('The place in the stream.'),
  late: z.boolean().describe('It came when its own place was already below the watermark.'),
  lateByMs: z.int().min(0),
  timeQuality: z.enum(timeQualities),
  erased: z.literal(true).exactOptional().describe('The key was erased: props are null, and stay so.'),
  ip: z.string().exactOptional().describe('Of the request that brought it, where its stream asks for it.'),
  userAgent: z.string().exactOptional().describe('The same.'),
  cursor: cursor.describe('Reading from it gives the events after this one.'),
}) satisfies z.ZodType<StoredEvent>;

const page = z.strictObject({
  events: z.array(storedEvent).describe('In stream order.'),
  nextCursor: cursor,
  hasMore: z.boolean().describe('false: everything below min(until, watermark) was given.'),
  watermark: timeSchema.describe('Everything below it is readable, and nothing will appear there any more.'),
  behindMs: z.int().min(0).describe("How far the page's end is behind the watermark."),
  gap: z
    .strictObject({ from: timeSchema, to: timeSchema })
    .describe('With `onExpired=earliest`: what was skipped because it is no longer kept.')
    .exactOptional(),
}) satisfies z.ZodType<Page>;

const stream = z.strictObject({
  stream: z.string(),
  watermark: timeSchema,
  watermarkDelayMs: z.int(),
  retentionDays: z.int().nullable(),
  dedupeDays: z.int(),
  clientIp: z.enum(clientIpModes),
  userAgent: z.boolean(),
  epoch: z.int(),
  earliestCursor: cursor,
  latestCursor: cursor,
  createdAt: timeSchema,
});

const statistics = {
  events: z.int().describe('Events that are kept.'),
  eventsCounted: z.boolean().describe('`events` was counted; else it is an estimate.'),
  eventsPerSecond: z.strictObject({
    lastMinute: z.number().describe('Of the last minute below the watermark.'),
    sampled: z.number().nullable().describe('Of the newest 1,000 events.'),
  }),
  lateShare: z.number().nullable().describe('Of the newest 1,000 events, 0–1.'),
  lateByMs: z
    .strictObject({ p50: z.int(), p90: z.int(), p99: z.int(), max: z.int() })
    .nullable()
    .describe('How late the late ones among them are.'),
};

const pane = z.strictObject({
  windowStart: timeSchema.describe('The window that the events belong to.'),
  timing: z
    .enum(['onTime', 'late'])
    .describe('`late`: it is an earlier window, and the events are to be added to what was given for it.'),
  group: z.union([z.string(), z.number(), z.boolean(), z.null()]),
  count: z.int(),
  sum: z.number().nullable().describe('Exact, with all its digits; null: there was nothing to add.'),
}) satisfies z.ZodType<Pane>;

const windowsPage = z.strictObject({
  windows: z.array(
    z.union([
      z.strictObject({
        start: timeSchema,
        end: timeSchema,
        continued: z.literal(true).exactOptional(),
        panes: z.array(pane),
      }),
      z.strictObject({ start: timeSchema, end: timeSchema, empty: z.literal(true), windows: z.int() }),
    ]),
  ),
  nextCursor: cursor,
  completeThrough: timeSchema.describe('All windows up to here are complete.'),
  watermark: timeSchema,
}) satisfies z.ZodType<WindowsPage>;

const watermarkDelayMs = z
  .int()
  .min(0)
  .max(watermarkDelayMsMax)
  .describe(`How long the watermark waits for stragglers. A new stream has ${watermarkDelayMsDefault}.`);

const retentionDays = z
  .int()
  .min(1)
  .max(retentionDaysMax)
  .nullable()
  .describe(
    'How long events are kept, counted from their order time; null: for ever. A new stream has null.',
  );

const dedupeDays = z
  .int()
  .min(1)
  .max(retentionDaysMax)
  .describe(
    `How long ids are remembered at least: so long a copy is a duplicate. A new stream has ${dedupeDaysDefault}.`,
  );

const clientIp = z
  .enum(clientIpModes)
  .describe(
    'What of the address of a request is kept with its events: nothing, its network (/24 or /48), or all. A new stream has `never`.',
  );

const userAgent = z.boolean().describe('Whether the user agent of a request is kept with its events.');

const erasure = z.strictObject({
  stream: z.string(),
  erasedThrough: timeSchema.describe('Every event received up to here is erased, when `done` is true.'),
  done: z.boolean().describe('false: ask again, with this `erasedThrough`.'),
  events: z.int().min(0).describe('Stored events that were erased so far.'),
  deadLetters: z.int().min(0).describe('Dead letters that were deleted so far.'),
  walkedTo: timeSchema.nullable().describe('How far it has come, as an order time.'),
});

/** Reading, and the settings of streams. */
export const streamsOperations: readonly Operation[] = [
  {
    method: 'get',
    path: '/v1/streams/{stream}/events',
    id: 'readEvents',
    summary: 'Read a page of a stream, in event-time order',
    description:
      'Following `nextCursor` gives every event exactly once. Start at one of `cursor`, `from` and `consumer`; without any at the earliest. `Accept` chooses between a page as JSON, as lines, and a live read, which goes on by `Last-Event-ID`.',
    role: 'read',
    parameters: [
      streamParameter,
      query('cursor', 'Go on after this place.', cursor),
      query('from', 'Begin at `earliest`, `latest` or an RFC 3339 time.', z.string().default('earliest')),
      query('consumer', 'Begin at the committed cursor of this consumer.', z.string()),
      query('name', 'Only events with one of these names, with commas between them.', z.string()),
      query('key', 'Only events with this key.', z.string()),
      query(
        'shard',
        `Only one part of the stream: i/n with n up to ${readLimits.shards.max}. Events with the same key are in the same part.`,
        z.string().regex(/^\d+\/\d+$/),
      ),
      query(
        'onExpired',
        'What a cursor gets that is no longer kept: 410, or the earliest event with a `gap`.',
        z.enum(['error', 'earliest']).default('error'),
      ),
      query('until', 'End before this RFC 3339 time.', timeSchema),
      query('limit', 'Events of the page.', whole(1, readLimits.pageEvents)),
      query('maxBytes', 'Bytes of the page; at least one event is given.', whole(1, readLimits.pageBytes)),
      query(
        'wait',
        'Seconds to wait for an event where there is none yet.',
        whole(0, readLimits.waitSeconds),
      ),
    ],
    reply: {
      'application/json': page,
      'application/x-ndjson': z
        .string()
        .describe(
          'An event a line. The last line is the end of the page, or `{"problem": …}`; it has no `id`.',
        ),
      'text/event-stream': z
        .string()
        .describe('Messages `events`, `watermark`, `gap`, `bye` and `problem`; their ids are cursors.'),
    },
    problems: [
      'invalid_parameter',
      'invalid_cursor',
      'stream_not_found',
      'consumer_not_found',
      'epoch_changed',
      'cursor_expired',
      'overloaded',
    ],
  },
  {
    method: 'get',
    path: '/v1/streams/{stream}/windows',
    id: 'readWindows',
    summary: 'Read complete windows, counted and summed by group',
    description:
      'A window is complete when the watermark has passed its end, and never changes. Late events come as late panes of later windows: all panes of a window together are what there ever will be.',
    role: 'read',
    parameters: [
      streamParameter,
      query('size', 'The length of a window: 1s to 1d, such as 60s, 5m or 1h.', z.string()),
      query('groupBy', '`name`, `key`, or a path into the props such as `props.adId`.', z.string()),
      query('sum', 'A path into the props whose numbers are summed, such as `props.price`.', z.string()),
      query('cursor', 'Go on after this place; of the same size and grouping.', cursor),
      query(
        'from',
        'Begin at `earliest`, `latest` or an RFC 3339 time, rounded up to the next window.',
        z.string().default('earliest'),
      ),
      query('limit', 'Windows of the reply.', whole(1, windowLimits.windows)),
      query('wait', 'Seconds to wait for the next window to be complete.', whole(0, readLimits.waitSeconds)),
    ],
    reply: { 'application/json': windowsPage },
    problems: ['invalid_parameter', 'invalid_cursor', 'stream_not_found', 'epoch_changed', 'cursor_expired'],
  },
  {
    method: 'get',
    path: '/v1/streams/{stream}/cursor',
    id: 'getCursor',
    summary: 'The cursor of a time',
    description: 'Reading from it gives the events from that time on, those of exactly that time among them.',
    role: 'read',
    parameters: [streamParameter, query('at', 'An RFC 3339 time.', timeSchema)],
    reply: { 'application/json': z.strictObject({ stream: z.string(), at: timeSchema, cursor }) },
    problems: ['invalid_parameter', 'stream_not_found', 'cursor_expired'],
  },
  {
    method: 'get',
    path: '/v1/streams/{stream}/events/{id}',
    id: 'getEvent',
    summary: 'One event by its id',
    description: 'For as long as ids are remembered, and once the watermark has passed it.',
    role: 'read',
    parameters: [
      streamParameter,
      { in: 'path', name: 'id', description: 'The id of the event.', schema: z.string() },
    ],
    reply: { 'application/json': storedEvent },
    problems: ['stream_not_found', 'event_not_found'],
  },
  {
    method: 'get',
    path: '/v1/streams',
    id: 'listStreams',
    summary: 'The streams that the key may read',
    role: 'read',
    parameters: [query('cursor', 'The `nextCursor` of the page before.', z.string())],
    reply: {
      'application/json': z.strictObject({ streams: z.array(stream), nextCursor: z.string().nullable() }),
    },
    problems: ['invalid_parameter'],
  },
  {
    method: 'get',
    path: '/v1/streams/{stream}',
    id: 'getStream',
    summary: 'One stream',
    role: 'read',
    parameters: [streamParameter],
    reply: { 'application/json': stream.extend(statistics) },
    problems: ['stream_not_found'],
  },
  {
    method: 'put',
    path: '/v1/streams/{stream}',
    id: 'putStream',
    summary: 'Create a stream, or change its settings',
    description: 'What is left out stays as it is.',
    role: 'admin',
    parameters: [streamParameter],
    body: {
      'application/json': z.strictObject({
        watermarkDelayMs: watermarkDelayMs.exactOptional(),
        retentionDays: retentionDays.exactOptional(),
        dedupeDays: dedupeDays.exactOptional(),
        clientIp: clientIp.exactOptional(),
        userAgent: userAgent.exactOptional(),
      }),
    },
    reply: {
      'application/json': stream.extend({
        effectiveFrom: timeSchema.describe('Events that happened before are taken as late.'),
      }),
    },
    problems: ['malformed', 'invalid_parameter', 'body_too_large', 'too_many_streams'],
  },
  {
    method: 'post',
    path: '/v1/streams/{stream}/erase',
    id: 'eraseKey',
    summary: 'Erase what is stored about a key',
    description:
      'Its events keep their places, names, ids and keys; props, address and user agent go. Works for about two seconds: ask again until `done`.',
    role: 'admin',
    parameters: [streamParameter],
    body: { 'application/json': eraseBody },
    reply: { 'application/json': erasure },
    problems: [
      'malformed',
      'invalid_parameter',
      'body_too_large',
      'stream_not_found',
      'too_many_erasures',
      'store_unavailable',
    ],
  },
  {
    method: 'delete',
    path: '/v1/streams/{stream}',
    id: 'deleteStream',
    summary: 'Delete a stream with all its events',
    description:
      'It is gone at once for readers and writers. A later event makes another stream of the same name, and cursors of the old one are not good for it.',
    role: 'admin',
    parameters: [streamParameter],
    reply: { 'application/json': z.strictObject({ stream: z.string(), deleted: z.literal(true) }) },
    problems: ['stream_not_found', 'store_unavailable'],
  },
];

function query(name: string, description: string, schema: z.ZodType): Parameter {
  return { in: 'query', name, description, schema };
}

function whole(min: number, limit: { readonly default: number; readonly max: number }): z.ZodType {
  return z.int().min(min).max(limit.max).default(limit.default);
}
