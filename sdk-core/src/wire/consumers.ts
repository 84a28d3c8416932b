/** The form of a consumer's name. */
export const consumerNamePattern = /^[A-Za-z0-9._-]{1,64}$/;

/** The form of a member's name: visible ASCII. It must be one process's own. */
export const memberPattern = /^[!-~]{1,128}$/;

/** Limits of consumers. */
export const consumerLimits = {
  /** Consumers of a stream. */
  perStream: 256,
  shards: { default: 1, max: 64 },
  /** How long a lease lasts unless it is renewed, in milliseconds. */
  ttlMs: { min: 1_000, max: 300_000 },
  /** Members that are counted when shards are shared out. */
  members: 1_000,
} as const;

/** A named reader whose committed cursors the server keeps. */
export interface Consumer {
  readonly consumer: string;
  readonly stream: string;
  readonly createdAt: string;
  readonly shards: readonly ConsumerShard[];
}

export interface ConsumerShard {
  readonly shard: number;
  /** The committed one. */
  readonly cursor: string;
  /** How far it is behind the watermark, in milliseconds. */
  readonly behindMs: number;
  /** The tenure; 0 before the first lease. */
  readonly generation: number;
  /** Who has the shard on lease, and until when; null: nobody. */
  readonly member: string | null;
  readonly expiresAt: string | null;
}

/** A consumer as the list shows it. */
export interface ConsumerSummary {
  readonly consumer: string;
  readonly createdAt: string;
  readonly shards: number;
  /** Shards that somebody has on lease. */
  readonly leased: number;
  /** Of the shard that is furthest behind. */
  readonly behindMs: number;
}

export interface Lease {
  readonly shard: number;
  /** What commits of this tenure carry. Another one than before: begin again at `cursor`. */
  readonly generation: number;
  /** The committed one. */
  readonly cursor: string;
  readonly expiresAt: string;
  /** How many shards the member should have: give back what is above it, ask for more below it. */
  readonly share: number;
}

/** The answer to a commit. */
export interface Committed {
  readonly shard: number;
  /** The committed one, now. */
  readonly cursor: string;
  /** The cursor sent was older than the committed one, which stays. */
  readonly outdated: boolean;
  readonly behindMs: number;
}
