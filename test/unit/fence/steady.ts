/**
 * The fence under load that never ends: writers append for ever, their transactions overlap, and the clock goes on for ever.
 * What is shown is that the watermark follows the clock at a bounded distance however long transactions are, and no matter how
 * they overlap: a stream whose lock is always held by somebody does not stand still.
 *
 * There is no bound on the number of steps here. After each tick of the clock all times are moved back by one tick, so that the
 * worlds repeat themselves and there are finitely many.
 *
 * Speeds are assumed, as nothing could be said without: a transaction lives through at most `ageMax` ticks of the clock, and
 * between two ticks of the clock each advancer makes one tick of its own, in which it looks at the lock table at least once
 * after its capture, waits as long as it likes, and does not die.
 */
import { encode } from './encode.ts';
import { element, type Exploration, explore } from './explore.ts';
import { initialWorld, movesOf, tickLength } from './model.ts';
import type { Move, Rules, Setting } from './rules.ts';
import { type Advancer, gone, idleWriter, watermarkOf, type World } from './world.ts';

export type SteadySetting = {
  readonly writers: number;
  readonly advancers: number;
  /** In ticks of the clock. */
  readonly ageMax: number;
  /** How far behind the clock, in its ticks and beyond the watermark delay, the watermark may be when the clock ticks. */
  readonly lagMax: number;
};

/** A world, and what the assumptions about speed need to know. */
type Steady = World & {
  /** For each writer: how many ticks of the clock its transaction has lived through. */
  readonly ages: readonly number[];
  /** For each advancer: whether it has made its tick since the clock's last one. */
  readonly ticked: readonly boolean[];
};

type SteadyMove = Move & { readonly after: Steady };

const delay = 2;
const forever = [[0]];
const oneTick = { ticks: 1, backs: 0, forwards: 0 };

export function exploreSteady(
  { writers, advancers, ageMax, lagMax }: SteadySetting,
  rules: Rules,
  statesMax: number,
): Exploration<SteadyMove> {
  const setting: Setting = {
    delays: [delay],
    writers: Array.from({ length: writers }, () => forever),
    advancers,
    clock: oneTick,
    delayChanges: [],
    events: ['old'],
    reader: false,
  };
  const initial = {
    ...initialWorld(setting),
    ages: Array.from({ length: writers }, () => 0),
    ticked: Array.from({ length: advancers }, () => false),
  };
  return explore<Steady, SteadyMove>(
    {
      initial,
      moves: (before) =>
        movesOf(before, setting, rules).flatMap((move) => {
          const after = inTime(before, move, ageMax) ? continued(before, move) : undefined;
          return after === undefined ? [] : [{ ...move, after }];
        }),
      encode: (world) => encode(world, world.ages, world.ticked.map(Number)),
      check: (before, move) => {
        if (move.actor !== 'the clock') return undefined;
        const lag = (before.clock - delay - watermarkOf(before, 0)) / tickLength;
        return lag > lagMax ? `the watermark is ${lag} ticks behind` : undefined;
      },
    },
    statesMax,
  );
}

/** Whether a move keeps to the assumptions. */
function inTime(before: Steady, move: Move, ageMax: number): boolean {
  if (move.fault) return false;
  if (move.actor === 'the clock') {
    const tooOld = before.writers.some(
      ({ locked }, number) => locked > 0 && element(before.ages, number) === ageMax,
    );
    return !tooOld && before.ticked.every(Boolean);
  }
  if (move.published !== undefined) return hasLooked(element(before.advancers, move.published));
  return before.ticked.every((ticked, number) => !ticked || element(move.after.advancers, number).step === 0);
}

function hasLooked({ waitsFor, pending }: Advancer): boolean {
  return [...waitsFor, ...pending.flat().map((entry) => entry.waitsFor)].every(
    (transactions) => !(transactions & gone),
  );
}

/** The world after a move, with writers that go on and a clock that may tick again. */
function continued({ ages, ticked }: Steady, { actor, after, published }: Move): Steady {
  if (actor === 'the clock') {
    return {
      ...earlier(after),
      clockMoves: oneTick,
      ages: ages.map((age, number) => (element(after.writers, number).locked > 0 ? age + 1 : 0)),
      ticked: ticked.map(() => false),
    };
  }
  return {
    ...after,
    writers: after.writers.map((writer) => (writer.appends.length > 0 ? writer : idleWriter(forever))),
    ages: ages.map((age, number) => (element(after.writers, number).locked > 0 ? age : 0)),
    ticked: ticked.map((done, number) => done || published === number),
  };
}

/** The same world with all times one tick earlier. (Zero stands for no time; order floors stay there.) */
function earlier(world: World): World {
  const { fence } = world;
  const shifted = (time: number) => (time === 0 ? 0 : time - tickLength);
  return {
    ...world,
    clock: shifted(world.clock),
    time: shifted(world.time),
    fence: {
      floor: shifted(fence.floor),
      published: shifted(fence.published),
      lastClock: shifted(fence.lastClock),
    },
    streams: world.streams.map((stream) =>
      stream.held === undefined ? stream : { ...stream, held: shifted(stream.held) },
    ),
    writers: world.writers.map((writer) => ({
      ...writer,
      floor: shifted(writer.floor),
      arrival: shifted(writer.arrival),
      orderTimes: writer.orderTimes.map(shifted),
    })),
    advancers: world.advancers.map((advancer) => ({
      ...advancer,
      raised: shifted(advancer.raised),
      pending: advancer.pending.map((entries) =>
        entries.map((entry) => ({ ...entry, floor: shifted(entry.floor) })),
      ),
    })),
  };
}
