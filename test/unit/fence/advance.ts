/**
 * The steps of an advancer's tick:
 *   raise    raises the floor and commits
 *   holds    sees which streams are held: a snapshot
 *   holders  captures who holds the streams' locks: a look at the lock table, which Postgres takes as a whole
 *   publish  publishes what it raised, says which streams are slow and which are drained
 * Before it publishes it looks at the lock table as often as it likes, and gives up waiting when it likes: a stream whose
 * holders it has not seen go is slow. What it knows of slow streams it keeps for its next ticks.
 *
 * At every step it may stand still for ever, die (then it has forgotten everything), or fail (then it has forgotten this tick,
 * and does not know what became of it).
 */
import { element } from './explore.ts';
import type { Drained, Stream } from './functions.ts';
import type { Move, Rules, Setting, TickStep } from './rules.ts';
import {
  type Advancer,
  freshAdvancer,
  gone,
  type Pending,
  type Quietness,
  type Transactions,
  withAdvancer,
  type World,
} from './world.ts';

export function tickMoves(world: World, setting: Setting, rules: Rules, number: number): Move[] {
  const advancer = element(world.advancers, number);
  const step = element(rules.tick, advancer.step);
  const actor = `advancer ${number}`;
  const becomes = (next: Advancer): World => withAdvancer(world, number, next);
  const proceed = (change: Partial<Advancer>) => becomes({ ...advancer, step: advancer.step + 1, ...change });
  const moves = steps[step]({ actor, number, world, advancer, setting, rules, becomes, proceed });

  const fresh = freshAdvancer(world.streams.length);
  const remembers = advancer.pending.some((entries) => entries.length > 0);
  if (advancer.step > 0 || remembers)
    moves.push({ actor, action: 'dies', after: becomes(fresh), fault: true });
  if (advancer.step > 0 && remembers) {
    const failed = { ...fresh, pending: advancer.pending };
    moves.push({ actor, action: 'fails', after: becomes(failed), fault: true });
    if (step === 'publish') {
      const after = withAdvancer(published(world, rules, number), number, failed);
      moves.push({
        actor,
        action: 'publishes, but fails before it knows',
        after,
        published: number,
        fault: true,
      });
    }
  }
  return moves;
}

/** An advancer at one of its steps. */
type At = {
  readonly actor: string;
  readonly number: number;
  readonly world: World;
  readonly advancer: Advancer;
  readonly setting: Setting;
  readonly rules: Rules;
  readonly becomes: (next: Advancer) => World;
  readonly proceed: (change: Partial<Advancer>) => World;
};

const steps: { readonly [step in TickStep]: (at: At) => Move[] } = {
  raise({ actor, world, setting, rules, proceed }) {
    const fence = rules.raiseFloor(world.fence, world.clock, world.time);
    const after = proceed({ raised: fence.floor, began: howQuiet(world, setting) });
    return [{ actor, action: 'raises the floor', after: { ...after, fence } }];
  },

  holds({ actor, world, proceed }) {
    const seenHolds = world.streams.map(({ held, hold }) => (held === undefined ? undefined : hold));
    return [{ actor, action: 'captures the holds', after: proceed({ seenHolds }) }];
  },

  holders({ actor, world, rules, proceed }) {
    const waitsFor = world.streams.map((_, stream) => rules.holders(world, stream));
    return [{ actor, action: 'captures the holders', after: proceed({ waitsFor }) }];
  },

  publish({ actor, number, world, advancer, rules, becomes }) {
    const after = published(world, rules, number);
    const moves: Move[] = [{ actor, action: 'publishes', after, published: number }];
    const looked = look(world, rules, advancer);
    if (looked !== advancer) moves.push({ actor, action: 'looks who is gone', after: becomes(looked) });
    return moves;
  },
};

function look(world: World, rules: Rules, advancer: Advancer): Advancer {
  return withTransactions(
    advancer,
    (waitsFor, stream) => waitsFor && waitsFor & rules.holders(world, stream),
  );
}

/** Publishes what the last look showed. */
function published(world: World, rules: Rules, number: number): World {
  const advancer = element(world.advancers, number);
  const slow = advancer.waitsFor.map((waitsFor) => waitsFor !== 0);
  const drained = world.streams.map((_, stream) => rules.drained(advancer, stream));
  const { fence, streams, placed } = rules.publish(
    world.fence,
    world.streams,
    advancer.raised,
    slow,
    drained,
  );
  const pending = streams.map((stream, at) => rules.remember(advancer, at, stream, element(placed, at)));
  return withAdvancer({ ...world, fence, streams }, number, { ...freshAdvancer(streams.length), pending });
}

/** This tick's capture, if all are gone, else the newest of the earlier ones of which that is true. */
export function drained(advancer: Advancer, stream: number): Drained | undefined {
  const seen = advancer.seenHolds[stream];
  const pending = element(advancer.pending, stream).findLast(({ waitsFor }) => waitsFor === 0);
  if (advancer.waitsFor[stream] === 0 && seen !== undefined) return { floor: advancer.raised, hold: seen };
  if (pending !== undefined) return { floor: pending.floor, hold: pending.hold };
  return undefined;
}

/**
 * The captures that are still waited for, and this tick's own, each for a higher floor and for more transactions than the one
 * before it: so there are never more of them than transactions under way. One in the place of the others would not do: the oldest makes
 * the watermark lag behind by twice the length of an append, and the newest never drains while appends overlap.
 *
 * This tick's capture counts only for a hold that it saw, or that this tick placed itself. Any other may stand for a delay that
 * was changed after the capture, and for writers that still place by the old one, which the capture does not know.
 */
export function remember(
  { raised, seenHolds, waitsFor, pending }: Advancer,
  number: number,
  stream: Stream,
  placed: boolean,
): readonly Pending[] {
  const captured = element(waitsFor, number);
  if (stream.held === undefined || captured === 0) return [];
  const earlier = element(pending, number).filter(({ hold }) => hold === stream.hold);
  const waited = earlier.slice(earlier.findLastIndex(({ waitsFor }) => waitsFor === 0) + 1);
  const own = placed || seenHolds[number] === stream.hold;
  const last = waited.at(-1);
  if (!own || (last !== undefined && last.floor >= raised)) return waited;
  const entry = { floor: raised, hold: stream.hold, waitsFor: captured };
  return last?.waitsFor === captured ? [...waited.slice(0, -1), entry] : [...waited, entry];
}

/** A writer's transaction has given its locks back: whoever remembers it finds it gone at the next look. */
export function forget(world: World, writer: number): World {
  const rename = (waitsFor: Transactions): Transactions =>
    waitsFor & (1 << writer) ? (waitsFor & ~(1 << writer)) | gone : waitsFor;
  return { ...world, advancers: world.advancers.map((advancer) => withTransactions(advancer, rename)) };
}

function withTransactions(
  advancer: Advancer,
  change: (transactions: Transactions, stream: number) => Transactions,
): Advancer {
  const waitsFor = advancer.waitsFor.map(change);
  const pending = advancer.pending.map((entries, stream) =>
    entries.map((entry) => ({ ...entry, waitsFor: change(entry.waitsFor, stream) })),
  );
  const unchanged =
    waitsFor.every((transactions, stream) => transactions === advancer.waitsFor[stream]) &&
    pending.every((entries, stream) =>
      entries.every(({ waitsFor: now }, place) => now === advancer.pending[stream]?.[place]?.waitsFor),
    );
  return unchanged ? advancer : { ...advancer, waitsFor, pending };
}

function howQuiet(world: World, setting: Setting): Quietness {
  const isQuiet =
    world.delayChangesDone === setting.delayChanges.length &&
    world.writers.every((writer) => writer.appends.length === 0);
  if (!isQuiet) return 'busy';
  return world.advancers.every(({ step, began }) => step === 0 || began !== 'busy') ? 'calm' : 'quiet';
}
