/** The paths of the HTTP API. */
export const paths = {
  events: '/v1/events',
  pixel: '/v1/pixel.gif',
  time: '/v1/time',
  keys: '/v1/keys',
  deadLetters: '/v1/dead-letters',
  deadLettersReplay: '/v1/dead-letters/replay',
  epoch: '/v1/epoch',
  streams: '/v1/streams',
  stream: (name: string) => `/v1/streams/${encodeURIComponent(name)}`,
  streamEvents: (name: string) => `/v1/streams/${encodeURIComponent(name)}/events`,
  streamWindows: (name: string) => `/v1/streams/${encodeURIComponent(name)}/windows`,
  consumers: (stream: string) => `/v1/streams/${encodeURIComponent(stream)}/consumers`,
  consumer: (stream: string, name: string) =>
    `/v1/streams/${encodeURIComponent(stream)}/consumers/${encodeURIComponent(name)}`,
  consumerLease: (stream: string, name: string) => `${paths.consumer(stream, name)}/lease`,
  consumerSeek: (stream: string, name: string) => `${paths.consumer(stream, name)}/seek`,
  consumerCursor: (stream: string, name: string, shard: number) =>
    `${paths.consumer(stream, name)}/shards/${shard}/cursor`,
} as const;

/** Request and response headers of our own, in the spelling we send. */
export const headers = {
  /** On every reply: 0.00–1.00, how full the collector is. Clients slow down from 0.5 on. */
  pressure: 'Tidemark-Pressure',
  /** On NDJSON requests: the client-send time. */
  sentAt: 'Tidemark-Sent-At',
} as const;
