/**
 * The settings that the right rules are explored in. What they bound is how often something happens; in which order, and what
 * dies where, is open in each. Advancers tick as often as they like in all of them.
 *
 * The short ones take seconds each and run with all tests; the long ones take minutes.
 */
import type { Setting } from './rules.ts';
import type { SteadySetting } from './steady.ts';

type Named<Kind> = { readonly name: string; readonly setting: Kind };

const ticks = (count: number) => ({ ticks: count, backs: 0, forwards: 0 });

const smallest: Setting = {
  delays: [2],
  writers: [[[0]], [[0]]],
  advancers: 1,
  clock: ticks(1),
  delayChanges: [],
  events: ['old'],
  reader: false,
};
/** Two writers at once, one of them a second time. */
const threeAppends = [[[0], [0]], [[0]]];
const lowered = [{ stream: 0, delay: 0 }];
const loweredAndRaised = [...lowered, { stream: 0, delay: 6 }];

export const shortSettings: readonly Named<Setting>[] = [
  { name: 'three appends', setting: { ...smallest, writers: threeAppends, clock: ticks(2) } },
  {
    name: 'three appends while the clock is set back',
    setting: { ...smallest, writers: threeAppends, clock: { ticks: 1, backs: 1, forwards: 0 } },
  },
  { name: 'the clock is set forward', setting: { ...smallest, clock: { ticks: 1, backs: 0, forwards: 1 } } },
  {
    name: 'three appends while the delay is lowered',
    setting: { ...smallest, delays: [4], writers: threeAppends, delayChanges: lowered },
  },
  {
    name: 'the delay is lowered and then raised',
    setting: { ...smallest, delays: [4], delayChanges: loweredAndRaised },
  },
  {
    name: 'appends to two streams and to one of them',
    setting: { ...smallest, delays: [2, 4], writers: [[[0, 1]], [[1], [0]]] },
  },
  {
    name: 'two streams while the delay of one is lowered',
    setting: { ...smallest, delays: [4, 2], writers: [[[0, 1]], [[0]]], delayChanges: lowered },
  },
  {
    name: 'a reader, and events of all times',
    setting: { ...smallest, events: ['old', 'within the delay', 'on time', 'future'], reader: true },
  },
  { name: 'two advancers, two writers', setting: { ...smallest, advancers: 2 } },
  {
    name: 'two advancers while the clock is set back',
    setting: { ...smallest, writers: [[[0], [0]]], advancers: 2, clock: { ticks: 1, backs: 1, forwards: 0 } },
  },
  {
    name: 'two advancers while the delay is lowered and then raised',
    setting: { ...smallest, delays: [4], writers: [[[0]]], advancers: 2, delayChanges: loweredAndRaised },
  },
];

const twoAdvancers: Setting = { ...smallest, advancers: 2 };

export const longSettings: readonly Named<Setting>[] = [
  {
    name: 'three appends while the clock is set back and forward',
    setting: { ...smallest, writers: threeAppends, clock: { ticks: 2, backs: 1, forwards: 1 } },
  },
  {
    name: 'three appends while the delay is lowered and raised',
    setting: {
      ...smallest,
      delays: [4],
      writers: threeAppends,
      clock: ticks(2),
      delayChanges: loweredAndRaised,
    },
  },
  {
    name: 'three appends with a reader, and events of all times',
    setting: {
      ...smallest,
      writers: threeAppends,
      events: ['old', 'within the delay', 'on time', 'future'],
      reader: true,
    },
  },
  { name: 'two advancers, two ticks of the clock', setting: { ...twoAdvancers, clock: ticks(2) } },
  { name: 'two advancers, three appends', setting: { ...twoAdvancers, writers: threeAppends } },
  {
    name: 'two advancers, two writers, the clock is set back',
    setting: { ...twoAdvancers, clock: { ticks: 1, backs: 1, forwards: 0 } },
  },
  {
    name: 'two advancers, two writers, the delay is lowered and raised',
    setting: { ...twoAdvancers, delays: [4], delayChanges: loweredAndRaised },
  },
  {
    name: 'two advancers, two streams',
    setting: { ...twoAdvancers, delays: [2, 2], writers: [[[0, 1]], [[1]]] },
  },
  {
    name: 'two advancers, the delay is lowered while the clock is set back',
    setting: {
      ...twoAdvancers,
      delays: [4],
      writers: [[[0], [0]]],
      clock: { ticks: 1, backs: 1, forwards: 0 },
      delayChanges: lowered,
    },
  },
];

/** For load that never ends. */
export const shortSteadySettings: readonly Named<SteadySetting>[] = [
  steadySetting(2, 1, 1),
  steadySetting(2, 1, 2),
];

export const longSteadySettings: readonly Named<SteadySetting>[] = [
  steadySetting(2, 1, 4),
  steadySetting(3, 1, 2),
  steadySetting(2, 2, 2),
];

/**
 * The lag is at most twice the age of a transaction, and a tick: a capture is waited for until its transactions have ended, and
 * what it published then stays until the same has happened to the next capture, which was made in that very tick.
 */
function steadySetting(writers: number, advancers: number, ageMax: number): Named<SteadySetting> {
  const lagMax = ageMax + 1;
  const who = `${advancers === 1 ? 'one advancer' : `${advancers} advancers`}, ${writers} writers`;
  const name = `${who}, transactions of up to ${ageMax} ticks: at most ${lagMax} ticks behind`;
  return { name, setting: { writers, advancers, ageMax, lagMax } };
}
