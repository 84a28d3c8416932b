import type { EventPage } from './events.ts';
import type { ReadOptions } from './read.ts';

export interface ConsumeOptions extends Pick<ReadOptions, 'pageEvents' | 'names' | 'key' | 'onExpired'> {
  /** The name under which the collector keeps what is done. Those who give the same one share the work. */
  readonly consumer: string;
  /** Parts in which the stream is read, 1–64: as many can work at a time. Default 1, or what the consumer has. */
  readonly shards?: number | undefined;
  /** Where a new consumer begins: `earliest` (default), `latest`, or an order time (RFC 3339). */
  readonly from?: ReadOptions['from'];
  /** A name that no other process has at the same time. Default: made of the host, the process and chance. */
  readonly member?: string | undefined;
  /**
   * Milliseconds after which others take over what a process had that died, 1,000–300,000. Default 30,000. It is renewed
   * three times in it, however long a handler takes.
   */
  readonly leaseMs?: number | undefined;
  /** Told of every failure of the handler before it is tried again. Default: a warning of the process. */
  readonly onError?: ((error: unknown, shard: ConsumedShard) => void) | undefined;
  /** Ends it in order: see `consume`. */
  readonly signal?: AbortSignal | undefined;
}

/** What is done with a page. When it has resolved the page is committed; when it throws it is called again. */
export type Handler<Events> = (page: EventPage<Events>, shard: ConsumedShard) => unknown;

/** Whose page it is. */
export interface ConsumedShard {
  readonly consumer: string;
  readonly member: string;
  /** Counted from 0. */
  readonly shard: number;
  /** How often the handler has been called with this page, this time included. */
  readonly attempt: number;
  /** Aborted when the shard is somebody else's now: what is done from then on is done twice. */
  readonly signal: AbortSignal;
}
