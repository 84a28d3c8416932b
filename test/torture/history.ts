// What a run saw from outside, as the checker takes it: what was sent and acknowledged, what readers were given, and what the
// watermarks were. Milliseconds (`…Ms`) are the harness' own monotonic clock; times of events and watermarks are microseconds of
// the database's clock; cursors are texts that sort like positions.

/** An event that a writer made. */
export interface SentEvent {
  readonly id: string;
  /** Travels in `props`, to see that the event comes back as it went. */
  readonly number: number;
  /** Undefined: sent without a time. */
  readonly occurredAt: bigint | undefined;
  /** When the first request that held it whole began; undefined: all its requests were cut in the middle. */
  readonly sentMs: number | undefined;
  /** When the first reply that says it is stored came. */
  readonly acknowledgedMs: number | undefined;
  /** Between these moments of the database's clock it was stored; undefined where that clock did not go evenly. */
  readonly stored: { readonly from: bigint; readonly to: bigint } | undefined;
}

/** An event as a reader got it. */
export interface SeenEvent {
  readonly id: string;
  readonly number: unknown;
  readonly cursor: string;
  readonly orderTime: bigint;
  readonly eventTime: bigint;
  readonly late: boolean;
  readonly lateByMs: number;
}

export interface SeenPage {
  readonly answeredMs: number;
  readonly events: readonly SeenEvent[];
  /** The reader's place after it. */
  readonly next: string;
}

/** Pages that follow each other: each began where the one before it ended. */
export interface Chain {
  readonly reader: string;
  /** A cursor, or `earliest`. */
  readonly start: string;
  readonly pages: readonly SeenPage[];
}

/** Sorts before every cursor. */
export const earliest = '';

/** A watermark that somebody was told. */
export interface Told {
  readonly askedMs: number;
  readonly answeredMs: number;
  readonly watermark: bigint;
}

/** A page that a member of a consumer worked on, and committed or may have committed. */
export interface WorkedPage extends SeenPage {
  readonly shard: number;
  readonly member: string;
  /** The committed cursor before it. */
  readonly from: string;
  /** The commit was answered; else nobody knows whether it took place. */
  readonly certain: boolean;
}

/** What the members of a consumer did together. */
export interface ConsumerWork {
  readonly consumer: string;
  /** Committed cursors of the shards, in the beginning and in the end. */
  readonly starts: readonly string[];
  readonly ends: readonly string[];
  readonly pages: readonly WorkedPage[];
}

/** A window, or a run of empty ones, as a reader got it. */
export interface SeenWindow {
  readonly answeredMs: number;
  readonly start: bigint;
  readonly end: bigint;
  readonly panes: readonly SeenPane[];
}

export interface SeenPane {
  readonly windowStart: bigint;
  readonly late: boolean;
  readonly count: number;
  /** Of the events' numbers. */
  readonly sum: number | null;
}

/** Windows that follow each other, from the beginning of the stream on or from a cursor that was kept. */
export interface WindowChain {
  readonly reader: string;
  readonly fromEarliest: boolean;
  readonly windows: readonly SeenWindow[];
}

export interface StreamHistory {
  readonly name: string;
  /** Microseconds; undefined where it was changed during the run. */
  readonly delay: bigint | undefined;
  readonly sent: ReadonlyMap<string, SentEvent>;
  readonly chains: readonly Chain[];
  readonly consumers: readonly ConsumerWork[];
  readonly windows: readonly WindowChain[];
  /** One read of the whole stream, begun after all that the chains saw. */
  readonly full: Chain;
  /** Rows of this stream in the database at the end; undefined: not counted. */
  readonly rows: number | undefined;
  readonly told: readonly Told[];
  /** The watermark as the database had it, sampled a few times a second. */
  readonly samples: readonly Told[];
}

export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface History {
  readonly streams: readonly StreamHistory[];
  /** While Postgres and at least one collector ran. */
  readonly live: readonly Interval[];
  /** Without faults, and the last one long enough ago. */
  readonly calm: readonly Interval[];
  /** True at the end: whatever is acknowledged has to be in the full read. */
  readonly complete: boolean;
}

/** The place after the last page. */
export function endOf(chain: Chain): string {
  return chain.pages.at(-1)?.next ?? chain.start;
}
