/**
 * The fence as a state machine: what writers, advancers, an operator, a reader and the clock can do next, in any order.
 *
 * A step is what nobody can look into: a statement with its snapshot, a transaction that holds the fence row, a look at the lock
 * table. The order of steps and what they do are `Rules`: a mistake is another set of rules, never a branch in the model.
 */
import { drained, remember, tickMoves } from './advance.ts';
import { appendMoves, lockHolders } from './append.ts';
import { element } from './explore.ts';
import { changeDelay, publish, raiseFloor } from './functions.ts';
import type { Move, Rules, Setting } from './rules.ts';
import { freshAdvancer, idleWriter, startOfTime, watermarkOf, type World } from './world.ts';

/** The rules that hold. */
export const rightRules: Rules = {
  append: ['lock', 'floor', 'clock', 'insert', 'commit', 'unlock'],
  tick: ['raise', 'holds', 'holders', 'publish'],
  arrival: Math.max,
  raiseFloor,
  publish,
  changeDelay,
  holders: lockHolders,
  drained,
  remember,
};

export function initialWorld(setting: Setting): World {
  return {
    clock: startOfTime,
    time: startOfTime,
    clockMoves: setting.clock,
    clockWentBack: false,
    fence: { floor: startOfTime, published: startOfTime, lastClock: startOfTime },
    streams: setting.delays.map((delay) => ({ delay, orderFloor: 0, held: undefined, hold: 0 })),
    delayChangesDone: 0,
    writers: setting.writers.map(idleWriter),
    advancers: Array.from({ length: setting.advancers }, () => freshAdvancer(setting.delays.length)),
    reader: setting.reader ? { cursor: 0, given: 0, rows: [] } : undefined,
  };
}

export function movesOf(world: World, setting: Setting, rules: Rules): Move[] {
  return [
    ...clockMoves(world),
    ...operatorMoves(world, setting, rules),
    ...world.writers.flatMap((_, number) => appendMoves(world, setting, rules, number)),
    ...world.advancers.flatMap((_, number) => tickMoves(world, setting, rules, number)),
    ...readerMoves(world),
  ];
}

export const tickLength = 2;
const jumpLength = 8;

function clockMoves(world: World): Move[] {
  const { clock, time, clockMoves } = world;
  const { ticks, backs, forwards } = clockMoves;
  const actor = 'the clock';
  const moves: Move[] = [];
  if (ticks > 0) {
    const passed = { clock: clock + tickLength, time: time + tickLength };
    moves.push({
      actor,
      action: 'ticks',
      after: { ...world, ...passed, clockMoves: { ...clockMoves, ticks: ticks - 1 } },
    });
  }
  if (backs > 0) {
    const set = { clock: clock - jumpLength, clockWentBack: true };
    moves.push({
      actor,
      action: 'is set back',
      after: { ...world, ...set, clockMoves: { ...clockMoves, backs: backs - 1 } },
    });
  }
  if (forwards > 0) {
    const left = { ...clockMoves, forwards: forwards - 1 };
    moves.push({
      actor,
      action: 'is set forward',
      after: { ...world, clock: clock + jumpLength, clockMoves: left },
    });
  }
  return moves;
}

function operatorMoves(world: World, setting: Setting, rules: Rules): Move[] {
  const change = setting.delayChanges[world.delayChangesDone];
  if (change === undefined) return [];
  const changed = rules.changeDelay(world.fence, element(world.streams, change.stream), change.delay);
  const streams = world.streams.with(change.stream, changed);
  const after = { ...world, streams, delayChangesDone: world.delayChangesDone + 1 };
  return [
    { actor: 'an operator', action: `sets the delay of stream ${change.stream} to ${change.delay}`, after },
  ];
}

/** A page without a limit: the watermark, and the rows from the cursor up to it, from one snapshot. */
function readerMoves(world: World): Move[] {
  const { reader } = world;
  if (reader === undefined) return [];
  const cursor = watermarkOf(world, 0);
  if (cursor === reader.cursor) return [];
  const given = reader.given + reader.rows.filter((row) => row >= reader.cursor && row < cursor).length;
  return [
    {
      actor: 'a reader',
      action: `reads up to ${cursor}`,
      after: { ...world, reader: { ...reader, cursor, given } },
    },
  ];
}
