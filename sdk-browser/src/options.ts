import type { DeliveryOptions } from '@tidemark/core';

export interface ClientOptions extends Partial<DeliveryOptions> {
  /** Where the collector is: `https://events.example.com`, or a path of this site that a proxy passes on, `/t` say. */
  readonly url: string;
  /** A write key. It is public: whoever sees the page sees it. */
  readonly key: string;
  /** The path of `POST /v1/events` behind `url`, where a proxy calls it something else. */
  readonly eventsPath?: string;
  /** The path of `GET /v1/time` behind `url`. */
  readonly timePath?: string;
  /** Keep events on the device while they cannot be sent. Default true. */
  readonly persist?: boolean;
  /** Compress bodies from 4 KiB on, where the browser can. Default true. */
  readonly gzip?: boolean;
  /** Begin without consent: nothing is taken, stored or sent before `optIn()`. Default false. */
  readonly optedOut?: boolean;
}

/** What a page decides beside the engine's own. */
export const pageDefaults = {
  eventsPath: '/v1/events',
  timePath: '/v1/time',
  persist: true,
  gzip: true,
  optedOut: false,
};

/** Everything decided. */
export type Settings = DeliveryOptions & typeof pageDefaults & ClientOptions;
