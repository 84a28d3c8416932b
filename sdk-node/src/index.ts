export type {
  AnyEvents,
  Counters,
  DropReason,
  Delay,
  EventShapes,
  FlushResult,
  Loss,
  LossReason,
  Report,
  TrackArguments,
  TrackOptions,
  Unsaved,
} from '@tidemark/core';
export type { Pane, SentEvent, StoredEvent, Window, WindowsPage } from '@tidemark/core/wire';
export { type Client, type ClientCounters, createClient } from './client.ts';
export { TidemarkError } from './errors.ts';
export type { ConsumedShard, ConsumeOptions, Handler } from './consume-options.ts';
export type { EventOf, EventPage } from './events.ts';
export type { Middleware, MiddlewareOptions, RequestContext } from './middleware.ts';
export type { ClientOptions } from './options.ts';
export type { ReadOptions } from './read.ts';
export type { WindowsOptions } from './windows.ts';
