/**
 * The canonical form of a world: what tells its future from that of others, and nothing else.
 * - A hold that an advancer remembers matters only while it stands: holds are counted, so it never comes back.
 * - Writers and advancers have no names. (A transaction is named by its writer's place in the sorted order.)
 * - The floor that a writer read, and what the clock said at the last raise, matter only when the clock was or may yet be
 *   tampered with: a clock that only ticks is never behind the floor.
 *
 * Under wrong rules this may join what should be told apart. That can hide a violation, never make one up.
 */
import { element } from './explore.ts';
import type { Stream } from './functions.ts';
import { type Advancer, gone, type Transactions, type World, type Writer } from './world.ts';

/** A mark tells apart what the world does not know of a writer or an advancer. */
export function encode(
  world: World,
  writerMarks: readonly number[] = [],
  advancerMarks: readonly number[] = [],
): string {
  const { clock, time, clockMoves, fence, reader } = world;
  const tampered = clock !== time || clockMoves.backs > 0 || clockMoves.forwards > 0 || clock < fence.floor;

  const codes = [
    clock,
    time,
    clockMoves.ticks,
    clockMoves.backs,
    clockMoves.forwards,
    world.clockWentBack ? 1 : 0,
  ];
  codes.push(fence.floor, fence.published, tampered ? fence.lastClock : none, world.delayChangesDone);
  for (const { delay, orderFloor, held } of world.streams) codes.push(delay, orderFloor, held ?? none);
  if (reader !== undefined) codes.push(reader.cursor, reader.given, ...reader.rows, none);

  const writers = world.writers.map((writer, number) =>
    encodeWriter(writer, tampered, writerMarks[number] ?? 0),
  );
  const renamed = renaming(writers);
  const advancers = world.advancers.map((advancer, number) =>
    encodeAdvancer(advancer, world.streams, renamed, advancerMarks[number] ?? 0),
  );
  return String.fromCharCode(...codes) + writers.sort(compare).join('') + advancers.sort(compare).join('');
}

const none = 255;

function encodeWriter(writer: Writer, tampered: boolean, mark: number): string {
  const codes = [
    mark,
    writer.appends.length,
    writer.step,
    writer.locked,
    tampered ? writer.floor : none,
    writer.arrival,
  ];
  for (const streams of writer.appends) codes.push(streams.reduce((set, stream) => set | (1 << stream), 0));
  return String.fromCharCode(...codes, ...writer.orderTimes, none);
}

/** From writers' numbers to their places in the sorted order. */
function renaming(writers: readonly string[]): (transactions: Transactions) => Transactions {
  const order = writers
    .map((_, number) => number)
    .sort((a, b) => compare(element(writers, a), element(writers, b)));
  if (order.every((number, place) => number === place)) return (transactions) => transactions;
  return (transactions) =>
    order.reduce(
      (names, number, place) => names | (transactions & (1 << number) ? 1 << place : 0),
      transactions & gone,
    );
}

function encodeAdvancer(
  advancer: Advancer,
  streams: readonly Stream[],
  renamed: (transactions: Transactions) => Transactions,
  mark: number,
): string {
  const codes = [mark, advancer.step, quietnessCodes[advancer.began], advancer.raised];
  for (const [number, { held, hold }] of streams.entries()) {
    const seen = held !== undefined && advancer.seenHolds[number] === hold;
    codes.push(seen ? 1 : 0, renamed(element(advancer.waitsFor, number)));
    const valid = element(advancer.pending, number).filter(
      (entry) => held !== undefined && entry.hold === hold,
    );
    for (const { floor, waitsFor } of valid) codes.push(floor, renamed(waitsFor));
    codes.push(none);
  }
  return String.fromCharCode(...codes);
}

const quietnessCodes = { busy: 0, quiet: 1, calm: 2 };

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
