import type { AnyEvents, EventShapes } from '@tidemark/core';
import { type Client, createClientIn } from './client.ts';
import type { ClientOptions } from './options.ts';
import { page } from './page.ts';

export type {
  AnyEvents,
  ClientClock,
  Counters,
  Delay,
  DropReason,
  EventShapes,
  FlushResult,
  Json,
  Loss,
  LossReason,
  Report,
  SentEvent,
  TrackArguments,
  TrackOptions,
  Unsaved,
} from '@tidemark/core';
export type { Client, ClientCounters } from './client.ts';
export type { ClientOptions } from './options.ts';

/**
 * A client of a collector for this page or worker. On a server it does nothing.
 *
 * @throws TypeError when `url` or `key` is missing.
 */
export function createClient<Events extends EventShapes<Events> = AnyEvents>(
  options: ClientOptions,
): Client<Events> {
  return createClientIn(page, options);
}
