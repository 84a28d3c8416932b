/** Explores a setting under a set of rules, and prints what it finds. */
import { encode } from './encode.ts';
import { type Exploration, explore } from './explore.ts';
import { violationOf } from './invariants.ts';
import { initialWorld, movesOf } from './model.ts';
import type { Move, Rules, Setting } from './rules.ts';
import { watermarkOf, type World } from './world.ts';

export function exploreFence(setting: Setting, rules: Rules, statesMax: number): Exploration<Move> {
  return explore<World, Move>(
    {
      initial: initialWorld(setting),
      moves: (world) => movesOf(world, setting, rules),
      encode,
      check: (before, move) => violationOf(before, move, setting),
    },
    statesMax,
  );
}

/** The way to a violation: who did what, and how the database looked afterwards. */
export function describeTrace({ message, trace }: NonNullable<Exploration<Move>['violation']>): string {
  const lines = trace.map(({ actor, action, after }, index) => {
    const what = `${String(index + 1).padStart(3)}. ${actor} ${action}`.padEnd(60);
    return `${what} ${describeWorld(after)}`;
  });
  return `${message}\n${lines.join('\n')}`;
}

function describeWorld(world: World): string {
  const streams = world.streams.map((stream, number) => {
    const held = stream.held === undefined ? '' : ` (hold ${stream.hold})`;
    return `stream ${number}: watermark ${watermarkOf(world, number)}${held}, delay ${stream.delay}`;
  });
  const { floor, published } = world.fence;
  return `clock ${world.clock}, floor ${floor}, published ${published}; ${streams.join('; ')}`;
}
