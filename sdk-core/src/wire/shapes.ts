import type { RejectionCode } from './codes.ts';

/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** An event as a client sends it. */
export interface SentEvent {
  /** Makes the event unique in its stream; without it the collector invents one, and a retry is stored again. */
  readonly id?: string;
  /** Defaults to the key's default stream, else `default`. */
  readonly stream?: string;
  readonly name: string;
  /** When it happened by the client's clock, RFC 3339. */
  readonly occurredAt?: string;
  /** What the event is about (a user, an order …). */
  readonly key?: string;
  readonly props?: { readonly [name: string]: Json };
}

/** What a client knows of the difference between its clock and the server's, in milliseconds. */
export interface ClientClock {
  /** Server clock minus client clock. */
  readonly offsetMs: number;
  /** Round trip of the sample the offset was taken from. */
  readonly rttMs: number;
}

/** A batch as a client sends it. */
export interface SentBatch {
  /** The client's clock when this HTTP attempt started, RFC 3339. */
  readonly sentAt?: string;
  readonly clock?: ClientClock;
  readonly events: readonly SentEvent[];
}

/** The outcome of one event that was not plainly accepted. */
export type EventResult =
  | { readonly index: number; readonly id: string; readonly status: 'duplicate' }
  | {
      readonly index: number;
      readonly id: string;
      readonly status: 'accepted';
      readonly code: 'id_generated';
    }
  | {
      readonly index: number;
      readonly id: string | null;
      readonly status: 'rejected';
      readonly code: RejectionCode;
      readonly message: string;
    };

/** The answer to a batch. `results` lists only events that were not plainly accepted. */
export interface BatchReply {
  readonly receivedAt: string;
  readonly respondedAt: string;
  /** `committed`: in Postgres, on disk. `spooled`: on the collector's disk, to be moved to Postgres. */
  readonly durability: 'committed' | 'spooled';
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly results: readonly EventResult[];
}

/** The answer of `GET /v1/time`. */
export interface TimeReply {
  readonly receivedAt: string;
  readonly respondedAt: string;
}

/** How much an event's time can be trusted: the first that holds. The position is the number stored. */
export const timeQualities = [
  'unparsable',
  'future',
  'implausible',
  'offset',
  'soft',
  'noSentAt',
  'ok',
] as const;

export type TimeQuality = (typeof timeQualities)[number];

/** An event as a reader gets it. Times are RFC 3339 UTC with microseconds. */
export interface StoredEvent {
  readonly id: string;
  readonly stream: string;
  readonly name: string;
  readonly key: string | null;
  readonly props: { readonly [name: string]: Json } | null;
  readonly occurredAt: string | null;
  readonly sentAt: string | null;
  readonly receivedAt: string;
  readonly eventTime: string;
  readonly orderTime: string;
  readonly late: boolean;
  readonly lateByMs: number;
  readonly timeQuality: TimeQuality;
  /** There where the key was erased: props are null then. */
  readonly erased?: true;
  /** The address of the request that brought it, or its network; there where the stream asks for it. */
  readonly ip?: string;
  /** The same of its user agent. */
  readonly userAgent?: string;
  /** Reading from it gives the events after this one. */
  readonly cursor: string;
}

/** What ends every page. */
export interface PageEnd {
  readonly nextCursor: string;
  /** false: everything below `min(until, watermark)` was given. */
  readonly hasMore: boolean;
  readonly watermark: string;
  /** How far the page's end is behind the watermark, in milliseconds. */
  readonly behindMs: number;
  /** With `onExpired=earliest`: what was skipped because it is no longer kept. */
  readonly gap?: { readonly from: string; readonly to: string };
}

export interface Page extends PageEnd {
  readonly events: readonly StoredEvent[];
}

/** What the events of a window have in common that are of one group and belong to the same window. */
export interface Pane {
  /** The window that they belong to: by their event time, or by their order time where that is earlier. */
  readonly windowStart: string;
  /** `late`: it is an earlier window than the one that holds them, and they are to be added to what was given for it. */
  readonly timing: 'onTime' | 'late';
  /** The group: text, number, truth value, or null where there is none. */
  readonly group: string | number | boolean | null;
  readonly count: number;
  /** Exact on the wire; null: there was nothing to add. */
  readonly sum: number | null;
}

/** A complete window, or a run of empty ones. */
export type Window =
  | {
      readonly start: string;
      readonly end: string;
      readonly panes: readonly Pane[];
      /** It goes on from the reply before. */
      readonly continued?: true;
    }
  | { readonly start: string; readonly end: string; readonly empty: true; readonly windows: number };

export interface WindowsPage {
  readonly windows: readonly Window[];
  readonly nextCursor: string;
  /** All windows up to here are complete. */
  readonly completeThrough: string;
  readonly watermark: string;
}
