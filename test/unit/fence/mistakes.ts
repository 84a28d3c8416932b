/**
 * Known mistakes, each a set of rules that differs from the right ones in one place, and a small setting in which it shows.
 * They check the checker: a model that does not find them proves nothing. They also say what each part of the fence is for.
 */
import { changeDelay, publish } from './functions.ts';
import { rightRules } from './model.ts';
import type { Rules, Setting } from './rules.ts';
import type { Transactions, World } from './world.ts';

export type Mistake = {
  readonly name: string;
  readonly rules: Rules;
  readonly setting: Setting;
  /** How it comes out. */
  readonly finding: RegExp;
};

const appearsBelow = /appears at \d+, below its watermark/;

const oneAppend: Setting = {
  delays: [2],
  writers: [[[0]]],
  advancers: 1,
  clock: { ticks: 1, backs: 0, forwards: 0 },
  delayChanges: [],
  events: ['old'],
  reader: false,
};
const twoAppends: Setting = { ...oneAppend, writers: [[[0]], [[0]]] };
const twoStreams: Setting = { ...oneAppend, delays: [2, 2], writers: [[[0]], [[1]]] };
const twoAdvancers: Setting = { ...oneAppend, advancers: 2 };
const clockBack: Setting = { ...oneAppend, clock: { ticks: 1, backs: 1, forwards: 0 } };
const delayLowered: Setting = { ...oneAppend, delays: [4], delayChanges: [{ stream: 0, delay: 0 }] };
const delayLoweredTwoAppends: Setting = { ...delayLowered, writers: [[[0]], [[0]]] };
const delayRaised: Setting = { ...oneAppend, delays: [2], delayChanges: [{ stream: 0, delay: 6 }] };

export const mistakes: readonly Mistake[] = [
  {
    name: 'there is no fence: nobody is waited for',
    rules: { ...rightRules, holders: () => 0 },
    setting: oneAppend,
    finding: appearsBelow,
  },
  {
    name: 'lock and floor are one statement: its snapshot is older than the lock',
    rules: { ...rightRules, append: ['floor', 'lock', 'clock', 'insert', 'commit', 'unlock'] },
    setting: clockBack,
    finding: appearsBelow,
  },
  {
    name: 'floor and clock are read before the lock is taken',
    rules: { ...rightRules, append: ['floor', 'clock', 'lock', 'insert', 'commit', 'unlock'] },
    setting: oneAppend,
    finding: appearsBelow,
  },
  {
    name: 'the locks are given back before the rows are visible',
    rules: { ...rightRules, append: ['lock', 'floor', 'clock', 'insert', 'unlock', 'commit'] },
    setting: oneAppend,
    finding: appearsBelow,
  },
  {
    name: 'arrival is the clock alone',
    rules: { ...rightRules, arrival: (_, clock) => clock },
    setting: clockBack,
    finding: appearsBelow,
  },
  {
    name: 'the barrier is pg_snapshot_xmax: an append has no transaction id before it writes',
    rules: { ...rightRules, holders: runningTransactionIds },
    setting: oneAppend,
    finding: appearsBelow,
  },
  {
    name: 'the holders are captured before the raise is committed',
    rules: { ...rightRules, tick: ['holds', 'holders', 'raise', 'publish'] },
    setting: oneAppend,
    finding: appearsBelow,
  },
  {
    name: 'the holders are captured before the holds',
    rules: { ...rightRules, tick: ['raise', 'holders', 'holds', 'publish'] },
    setting: delayLowered,
    finding: appearsBelow,
  },
  {
    name: 'a slow stream is not held',
    rules: {
      ...rightRules,
      publish: (fence, streams, raised, _, drained) => publish(fence, streams, raised, [], drained),
    },
    setting: oneAppend,
    finding: appearsBelow,
  },
  {
    name: 'a hold is placed at what is published now',
    rules: {
      ...rightRules,
      publish: (fence, streams, raised, slow, drained) =>
        publish({ ...fence, published: Math.max(fence.published, raised) }, streams, raised, slow, drained),
    },
    setting: oneAppend,
    finding: appearsBelow,
  },
  {
    name: 'a hold is released on an older floor than the published one',
    rules: {
      ...rightRules,
      publish: (fence, streams, raised, slow, drained) => {
        const done = publish(fence, streams, raised, slow, drained);
        const release = done.streams.map((stream, number) =>
          drained[number]?.hold === stream.hold ? { ...stream, held: undefined } : stream,
        );
        return { ...done, streams: release };
      },
    },
    setting: twoAppends,
    finding: appearsBelow,
  },
  {
    name: 'a hold is released by whoever drained the stream, not only by who saw the hold',
    rules: {
      ...rightRules,
      publish: (fence, streams, raised, slow, drained) => {
        const seen = drained.map(
          (entry, number) => entry && { ...entry, hold: streams[number]?.hold ?? entry.hold },
        );
        return publish(fence, streams, raised, slow, seen);
      },
    },
    setting: delayLoweredTwoAppends,
    finding: appearsBelow,
  },
  {
    name: 'a pending raise is kept for a hold that another one placed',
    rules: {
      ...rightRules,
      remember: (advancer, number, stream) => rightRules.remember(advancer, number, stream, true),
    },
    setting: delayLoweredTwoAppends,
    finding: appearsBelow,
  },
  {
    name: 'a delay is lowered without a hold',
    rules: {
      ...rightRules,
      changeDelay: (fence, stream, delay) => ({ ...changeDelay(fence, stream, delay), held: stream.held }),
    },
    setting: delayLowered,
    finding: appearsBelow,
  },
  {
    name: 'a delay is raised without an order floor',
    rules: {
      ...rightRules,
      changeDelay: (fence, stream, delay) => ({
        ...changeDelay(fence, stream, delay),
        orderFloor: stream.orderFloor,
      }),
    },
    setting: delayRaised,
    finding: /watermark of stream 0 goes back/,
  },
  {
    name: 'published goes back to what a slower advancer raised',
    rules: {
      ...rightRules,
      publish: (fence, streams, raised, slow, drained) => {
        const done = publish(fence, streams, raised, slow, drained);
        return { ...done, fence: { ...done.fence, published: raised } };
      },
    },
    setting: twoAdvancers,
    finding: /published decreases/,
  },
  {
    name: 'a changed delay does not count as another hold',
    rules: {
      ...rightRules,
      changeDelay: (fence, stream, delay) => {
        const changed = changeDelay(fence, stream, delay);
        return stream.held === undefined ? changed : { ...changed, hold: stream.hold };
      },
    },
    setting: delayLoweredTwoAppends,
    finding: appearsBelow,
  },
  {
    name: 'an older capture is taken for drained at the floor of this tick',
    rules: {
      ...rightRules,
      drained: (advancer, stream) => {
        const entry = rightRules.drained(advancer, stream);
        return entry && { ...entry, floor: advancer.raised };
      },
    },
    setting: twoAppends,
    finding: appearsBelow,
  },
  {
    name: 'what is drained of one stream ends the holds of all',
    rules: {
      ...rightRules,
      drained: (advancer, stream) =>
        rightRules.drained(advancer, stream) ?? rightRules.drained(advancer, 1 - stream),
    },
    setting: twoStreams,
    finding: appearsBelow,
  },
  {
    name: 'nobody ever releases a hold',
    rules: {
      ...rightRules,
      publish: (fence, streams, raised, slow) => publish(fence, streams, raised, slow, []),
    },
    setting: oneAppend,
    finding: /stands still/,
  },
];

/** Each tick waits for its own capture only. It takes load that never ends to see it. */
export const forgetful: Rules = {
  ...rightRules,
  remember: (advancer, ...rest) =>
    rightRules.remember({ ...advancer, pending: advancer.pending.map(() => []) }, ...rest),
};

/** Writers that have written and whose transaction has not ended; whatever stream they write to. */
function runningTransactionIds(world: World): Transactions {
  const commit = rightRules.append.indexOf('commit');
  return world.writers.reduce((set, { step }, number) => (step === commit ? set | (1 << number) : set), 0);
}
