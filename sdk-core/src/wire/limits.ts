/**
 * The published limits of ingest. Each may be changed by the environment variable beside it; the collector's own table of
 * configuration is built from this one.
 */
export const limits = {
  /** Bytes of a request body on the wire. */
  bodyBytes: { default: 1_048_576, variable: 'TIDEMARK_LIMIT_BODY_BYTES' },
  /** Bytes of a request body after decompression. */
  inflatedBytes: { default: 8_388_608, variable: 'TIDEMARK_LIMIT_INFLATED_BYTES' },
  /** Events in a batch. */
  batchEvents: { default: 1_000, variable: 'TIDEMARK_LIMIT_BATCH_EVENTS' },
  /** UTF-8 bytes of one event as it was sent. */
  eventBytes: { default: 65_536, variable: 'TIDEMARK_LIMIT_EVENT_BYTES' },
  /** Nesting of JSON; the event itself is level 1. */
  jsonDepth: { default: 32, variable: 'TIDEMARK_LIMIT_JSON_DEPTH' },
  /** Characters of an event's `id`. */
  idCharacters: { default: 128, variable: 'TIDEMARK_LIMIT_ID_CHARACTERS' },
  /** Characters of an event's `name`. */
  nameCharacters: { default: 128, variable: 'TIDEMARK_LIMIT_NAME_CHARACTERS' },
  /** Characters of an event's `key`. */
  keyCharacters: { default: 256, variable: 'TIDEMARK_LIMIT_KEY_CHARACTERS' },
} as const;

export type LimitName = keyof typeof limits;

/** The limits in force: a number for each name. */
export type Limits = Readonly<Record<LimitName, number>>;

export const defaultLimits: Limits = {
  bodyBytes: limits.bodyBytes.default,
  inflatedBytes: limits.inflatedBytes.default,
  batchEvents: limits.batchEvents.default,
  eventBytes: limits.eventBytes.default,
  jsonDepth: limits.jsonDepth.default,
  idCharacters: limits.idCharacters.default,
  nameCharacters: limits.nameCharacters.default,
  keyCharacters: limits.keyCharacters.default,
};

/** The form of a stream's name. */
export const streamNamePattern = /^[A-Za-z0-9._-]{1,64}$/;

/** Limits of a read. */
export const readLimits = {
  /** Events of a page: the default and the most. */
  pageEvents: { default: 1_000, max: 10_000 },
  /** Bytes of a page: the default and the most; at least one event is always given. */
  pageBytes: { default: 1_048_576, max: 16_777_216 },
  /** Bytes of one message of a live read: a thousand readers that stand still must not fill the memory. */
  liveBytes: { default: 65_536, max: 1_048_576 },
  /** Names in a filter. */
  filterNames: { max: 100 },
  /** Parts that a stream can be read in. */
  shards: { max: 1_024 },
  /** Seconds that a long poll may wait. */
  waitSeconds: { default: 0, max: 30 },
} as const;

/** Limits of a read by windows. */
export const windowLimits = {
  /** Seconds of a window. */
  sizeSeconds: { min: 1, max: 86_400 },
  /** Windows of a reply, runs of empty ones counting as one. */
  windows: { default: 100, max: 1_000 },
  /** Steps of a path into props, and characters of it. */
  pathSteps: 16,
  pathCharacters: 256,
} as const;

/** The watermark delay of a new stream, in milliseconds: more than an SDK's linger plus usual transit. */
export const watermarkDelayMsDefault = 5_000;

/** The longest that the events of a stream may be kept, if not for ever, and that ids may be remembered, in days: 200 years. */
export const retentionDaysMax = 200 * 366;

/** How long the ids of a new stream are remembered, in days. */
export const dedupeDaysDefault = 7;

/** The largest watermark delay, in milliseconds: 200 years, so that any history can be imported in event-time order. */
export const watermarkDelayMsMax = 200 * 366 * 86_400_000;

/** What of a client's address a stream keeps: nothing, its network (/24 or /48), or all of it. */
export const clientIpModes = ['never', 'truncated', 'whole'] as const;

export type ClientIpMode = (typeof clientIpModes)[number];

/** Characters of a user agent that are kept where a stream asks for it. */
export const userAgentCharacters = 512;

/** What becomes of an event that its schema does not allow: it is counted, or rejected. */
export const schemaModes = ['warn', 'enforce'] as const;

export type SchemaMode = (typeof schemaModes)[number];
