/**
 * A state of the model: what is in the database, and what each process remembers, between two steps of anybody.
 *
 * A transaction is named by its writer, because a writer has one at a time. When it ends, its name in every memory becomes
 * `gone`, so that the writer's next transaction is not taken for it: a virtual transaction id does not come back either.
 */
import { element } from './explore.ts';
import { type Fence, type Stream, watermark } from './functions.ts';

export type World = {
  /** What the database's clock says. */
  readonly clock: number;
  /** What a clock says that nobody sets: the witness of an advancer. */
  readonly time: number;
  readonly clockMoves: ClockMoves;
  readonly clockWentBack: boolean;
  readonly fence: Fence;
  readonly streams: readonly Stream[];
  readonly delayChangesDone: number;
  readonly writers: readonly Writer[];
  readonly advancers: readonly Advancer[];
  readonly reader: Reader | undefined;
};

/** How often the clock may yet tick, be set back, be set forward. */
export type ClockMoves = { readonly ticks: number; readonly backs: number; readonly forwards: number };

/** A writer between appends or in one. */
export type Writer = {
  /** The streams, ascending, of each of its appends: the one that is next or under way, and those after it. */
  readonly appends: readonly (readonly number[])[];
  /** The next step of the first of them. */
  readonly step: number;
  /** How many of its streams are locked. */
  readonly locked: number;
  readonly floor: number;
  readonly arrival: number;
  /** The order time of its row in each of its streams, between insert and commit. */
  readonly orderTimes: readonly number[];
};

/** What an advancing process has in memory. `seenHolds`, `waitsFor` and `pending` are by stream. */
export type Advancer = {
  /** The next step of its tick. */
  readonly step: number;
  readonly raised: number;
  readonly seenHolds: readonly (number | undefined)[];
  /** Captured in this tick, and not yet seen gone. */
  readonly waitsFor: readonly Transactions[];
  /** Captured in earlier ticks, oldest first. */
  readonly pending: readonly (readonly Pending[])[];
  /** For the liveness check: how quiet it was when this tick began. */
  readonly began: Quietness;
};

export type Pending = { readonly floor: number; readonly hold: number; readonly waitsFor: Transactions };

/** Quiet: all appends have ended and no delay changes any more. Calm: also every tick has ended that began before that. */
export type Quietness = 'busy' | 'quiet' | 'calm';

/** A set of transactions: a bit for each writer's present one, and one for all that are gone. */
export type Transactions = number;
export const gone: Transactions = 1 << 7;

/** A reader of the first stream: it was `given` so many rows, and takes them to be all that there are below `cursor`. */
type Reader = {
  readonly cursor: number;
  readonly given: number;
  /** The order times of the rows that are visible. */
  readonly rows: readonly number[];
};

export const startOfTime = 64;

export function idleWriter(appends: Writer['appends']): Writer {
  return { appends, step: 0, locked: 0, floor: 0, arrival: 0, orderTimes: [] };
}

export function freshAdvancer(streams: number): Advancer {
  return {
    step: 0,
    raised: 0,
    seenHolds: new Array<undefined>(streams).fill(undefined),
    waitsFor: new Array<Transactions>(streams).fill(0),
    pending: Array.from({ length: streams }, () => []),
    began: 'busy',
  };
}

export function watermarkOf(world: World, stream: number): number {
  return watermark(element(world.streams, stream), world.fence.published);
}

export function withWriter(world: World, number: number, writer: Writer): World {
  return { ...world, writers: world.writers.with(number, writer) };
}

export function withAdvancer(world: World, number: number, advancer: Advancer): World {
  return { ...world, advancers: world.advancers.with(number, advancer) };
}
