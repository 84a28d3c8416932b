/**
 * Every code an answer may carry. A request's problem has a status; an event's rejection is part of a 200.
 * Programs decide by code; titles are for people.
 */
export const problems = {
  malformed: { status: 400, title: 'The request is not well-formed' },
  invalid_parameter: { status: 400, title: 'A parameter is out of its range' },
  invalid_cursor: { status: 400, title: 'The cursor is not one of this stream' },
  unauthenticated: { status: 401, title: 'No key, or an unknown one' },
  forbidden: { status: 403, title: 'The key does not allow this' },
  not_found: { status: 404, title: 'There is nothing here' },
  stream_not_found: { status: 404, title: 'There is no such stream' },
  consumer_not_found: { status: 404, title: 'The stream has no such consumer' },
  schema_not_found: { status: 404, title: 'There is no such schema' },
  key_not_found: { status: 404, title: 'There is no such key' },
  event_not_found: { status: 404, title: 'There is no such event' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  request_timeout: { status: 408, title: 'The body did not arrive in time' },
  epoch_changed: { status: 409, title: 'The database was restored or switched: resume at resumeCursor' },
  consumer_conflict: { status: 409, title: 'The consumer has another number of shards' },
  no_free_shard: { status: 409, title: 'There is no shard to lease: ask again later' },
  stale_generation: { status: 409, title: 'The lease has moved on' },
  cursor_conflict: { status: 409, title: 'Another cursor was committed meanwhile' },
  cursor_expired: { status: 410, title: 'The cursor is older than what is kept' },
  body_too_large: { status: 413, title: 'The body is too large' },
  batch_too_large: { status: 413, title: 'The batch has too many events' },
  unsupported_media_type: { status: 415, title: 'The body has a type or encoding that is not understood' },
  too_many_streams: { status: 422, title: 'No more streams can be made' },
  too_many_erasures: { status: 422, title: 'No more keys can be erased now' },
  too_many_schemas: { status: 422, title: 'No more schemas can be made' },
  too_many_consumers: { status: 422, title: 'The stream can have no more consumers' },
  overloaded: { status: 429, title: 'The collector is full: send again later' },
  rate_limited: { status: 429, title: 'The key is above its quota: send again later' },
  internal: { status: 500, title: 'The collector failed' },
  store_unavailable: { status: 503, title: 'The database cannot be reached: send again later' },
  shutting_down: { status: 503, title: 'The collector is closing: send again' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;

/** Why one event of a batch was not stored while its neighbours were. */
export const rejectionCodes = [
  'invalid_event',
  'invalid_json',
  'invalid_id',
  'invalid_stream',
  'invalid_name',
  'invalid_key',
  'invalid_props',
  'unstorable_text',
  'unstorable_number',
  'too_deep',
  'event_too_large',
  'stream_forbidden',
  'too_many_streams',
  'schema_mismatch',
  'unstorable',
] as const;

export type RejectionCode = (typeof rejectionCodes)[number];

/** Why a client gave an event up without the collector having refused it. */
export const dropReasons = [
  /** The queue was full. */
  'queue_full',
  /** First sent more than 6 days ago (sent again it might be stored twice), or never sent in 30 days. */
  'expired',
  /** Larger than `eventBytesMax`, or answered 413 although it was alone. */
  'too_large',
  /** It could not be turned into JSON. */
  'invalid',
  /** Tracked after `close()`, or unsent when its time was over. The outcome of what was just being sent is unknown. */
  'closed',
  /** Consent was withdrawn before it was acknowledged. */
  'opted_out',
] as const;

export type DropReason = (typeof dropReasons)[number];

/** Counts of events that a client gave up, by reason; a reason that did not occur is absent. */
export type DroppedEvents = Readonly<Partial<Record<DropReason, number>>>;

/** What the body of an error answer holds (RFC 9457), plus the numbers that matter. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ProblemCode;
  readonly detail: string;
  /** With 413: the limit and what was sent (a lower bound while inflating). */
  readonly limit?: number;
  readonly actual?: number;
  /** With 429 and 503: when to come back, in milliseconds. The `Retry-After` header says the same in whole seconds. */
  readonly retryAfterMs?: number;
  /** With 410: the oldest cursor that can still be read. */
  readonly earliestCursor?: string;
  /** With 409 `epoch_changed` and `cursor_conflict`: where to go on. */
  readonly resumeCursor?: string;
}
