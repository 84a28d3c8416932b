/**
 * The steps of an append. Each is a statement with its own snapshot, or a part of one that others can tell apart:
 *   lock     a shared lock of one stream; as many steps as there are streams, ascending
 *   floor    reads the floor
 *   clock    reads the clock: the arrival is the later of the two
 *   insert   reads delay and order floor, places and writes the rows (what it wrote nobody reads before the commit)
 *   commit   the rows become visible
 *   unlock   the locks are given back; Postgres does it in this order
 * At every step it may stand still for ever, or die: then its locks go and nothing becomes visible. (A crash of the server is
 * the death of all, one after the other; those of which the commit was on disk commit first.)
 */
import { element } from './explore.ts';
import { orderTime, type Stream } from './functions.ts';
import type { AppendStep, EventTime, Move, Row, Rules, Setting } from './rules.ts';
import { forget } from './advance.ts';
import { idleWriter, type Transactions, withWriter, type World, type Writer } from './world.ts';

export function appendMoves(world: World, setting: Setting, rules: Rules, number: number): Move[] {
  const writer = element(world.writers, number);
  const [streams] = writer.appends;
  if (streams === undefined) return [];

  const becomes = (next: Writer): World => withWriter(world, number, next);
  const ended = idleWriter(writer.appends.slice(1));
  const isLast = writer.step === rules.append.length - 1;
  const moves = steps[element(rules.append, writer.step)]({
    actor: `writer ${number}`,
    number,
    world,
    writer,
    streams,
    setting,
    rules,
    stay: (change) => becomes({ ...writer, ...change }),
    proceed: (change) => becomes(isLast ? ended : { ...writer, step: writer.step + 1, ...change }),
  });

  const begun = writer.step > 0 || writer.locked > 0;
  const committed = writer.step > rules.append.indexOf('commit');
  if (begun && !committed) {
    moves.push({
      actor: `writer ${number}`,
      action: 'dies',
      after: forget(becomes(ended), number),
      fault: true,
    });
  }
  return moves;
}

/** A writer at one of its steps. */
type At = {
  readonly actor: string;
  readonly number: number;
  readonly world: World;
  readonly writer: Writer;
  readonly streams: readonly number[];
  readonly setting: Setting;
  readonly rules: Rules;
  readonly stay: (change: Partial<Writer>) => World;
  readonly proceed: (change: Partial<Writer>) => World;
};

const steps: { readonly [step in AppendStep]: (at: At) => Move[] } = {
  lock({ actor, writer, streams, stay, proceed }) {
    const locked = writer.locked + 1;
    const after = locked === streams.length ? proceed({ locked }) : stay({ locked });
    return [{ actor, action: `locks stream ${element(streams, writer.locked)}`, after }];
  },

  floor({ actor, world, proceed }) {
    return [{ actor, action: 'reads the floor', after: proceed({ floor: world.fence.floor }) }];
  },

  clock({ actor, world, writer, rules, proceed }) {
    const arrival = rules.arrival(writer.floor, world.clock);
    return [{ actor, action: 'reads the clock', after: proceed({ floor: 0, arrival }) }];
  },

  insert({ actor, world, writer, streams, setting, proceed }) {
    const rowsOf = (kind: EventTime) =>
      streams.map((stream) => placeRow(kind, writer.arrival, stream, element(world.streams, stream)));
    const inserted = eventTimes.flatMap(rowsOf);
    return setting.events.map((kind) => {
      const orderTimes = rowsOf(kind).map((row) => row.orderTime);
      return { actor, action: `inserts (${kind})`, after: proceed({ arrival: 0, orderTimes }), inserted };
    });
  },

  commit({ actor, writer, streams, proceed }) {
    const visible = streams.map((stream, index) => ({
      stream,
      orderTime: element(writer.orderTimes, index),
    }));
    const after = showRows(proceed({ orderTimes: [] }), visible);
    return [{ actor, action: 'commits: its rows are visible', after, visible }];
  },

  unlock({ actor, number, proceed }) {
    return [{ actor, action: 'gives back its locks', after: forget(proceed({ locked: 0 }), number) }];
  },
};

const eventTimes: readonly EventTime[] = ['old', 'within the delay', 'on time', 'future'];

function placeRow(kind: EventTime, arrival: number, number: number, stream: Stream): Row {
  const eventTime = {
    old: 0,
    'within the delay': arrival - stream.delay,
    'on time': arrival,
    future: arrival + 1,
  }[kind];
  return { stream: number, eventTime, arrival, orderTime: orderTime(eventTime, arrival, stream) };
}

function showRows(world: World, visible: NonNullable<Move['visible']>): World {
  if (world.reader === undefined) return world;
  const added = visible.filter(({ stream }) => stream === 0).map((row) => row.orderTime);
  const rows = [...world.reader.rows, ...added].sort((a, b) => a - b);
  return { ...world, reader: { ...world.reader, rows } };
}

/** Who holds the lock of a stream. */
export function lockHolders(world: World, stream: number): Transactions {
  let holders: Transactions = 0;
  for (const [number, { appends, locked }] of world.writers.entries()) {
    if (locked > 0 && appends[0]?.slice(0, locked).includes(stream)) holders |= 1 << number;
  }
  return holders;
}
