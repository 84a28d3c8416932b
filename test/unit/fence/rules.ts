/** What the parts of the model have in common: how much may happen, by which rules, and what a move is. */
import type { Drained, Fence, Publication, Stream } from './functions.ts';
import type { Advancer, ClockMoves, Pending, Transactions, World } from './world.ts';

/** What there is, and how much of it may happen. */
export type Setting = {
  /** The watermark delay of each stream. */
  readonly delays: readonly number[];
  /** For each writer, for each of its appends: the streams, ascending. */
  readonly writers: readonly (readonly (readonly number[])[])[];
  readonly advancers: number;
  readonly clock: ClockMoves;
  /** In this order, each at any time. */
  readonly delayChanges: readonly { readonly stream: number; readonly delay: number }[];
  /**
   * What events the writers may send. Old ones are enough to find out what may appear below a watermark: an event that happened
   * later is placed no lower, and nobody does anything differently because of it.
   */
  readonly events: readonly EventTime[];
  readonly reader: boolean;
};

/** When an event happened: long ago, just within the watermark delay, now, or in the future by its client's clock. */
export type EventTime = 'old' | 'within the delay' | 'on time' | 'future';

export type AppendStep = 'lock' | 'floor' | 'clock' | 'insert' | 'commit' | 'unlock';
export type TickStep = 'raise' | 'holds' | 'holders' | 'publish';

/** The steps in their order, and what they do. */
export type Rules = {
  readonly append: readonly AppendStep[];
  readonly tick: readonly TickStep[];
  readonly arrival: (floor: number, clock: number) => number;
  readonly raiseFloor: (fence: Fence, now: number, witness: number) => Fence;
  readonly publish: (
    fence: Fence,
    streams: readonly Stream[],
    raised: number,
    slow: readonly boolean[],
    drained: readonly (Drained | undefined)[],
  ) => Publication;
  readonly changeDelay: (fence: Fence, stream: Stream, delay: number) => Stream;
  /** The transactions that an advancer finds in its way for a stream. */
  readonly holders: (world: World, stream: number) => Transactions;
  /** What an advancer knows to be drained of a stream when it publishes. */
  readonly drained: (advancer: Advancer, stream: number) => Drained | undefined;
  /** What it keeps of a stream after it published. */
  readonly remember: (
    advancer: Advancer,
    number: number,
    stream: Stream,
    placed: boolean,
  ) => readonly Pending[];
};

export type Row = {
  readonly stream: number;
  readonly eventTime: number;
  readonly arrival: number;
  readonly orderTime: number;
};

export type Move = {
  readonly actor: string;
  readonly action: string;
  readonly after: World;
  /** Rows that are, or as well might be, inserted by this move: one for each kind of event. */
  readonly inserted?: readonly Row[];
  /** Rows that became visible. */
  readonly visible?: readonly Pick<Row, 'stream' | 'orderTime'>[];
  /** The number of the advancer whose tick ended in this move. */
  readonly published?: number;
  /** Somebody died or failed. */
  readonly fault?: true;
};
