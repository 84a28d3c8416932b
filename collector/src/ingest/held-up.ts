import type { AppendRow } from '../store/append.ts';

/** What waits to be written. */
export interface Submission {
  readonly sender: string;
  readonly rows: readonly AppendRow[];
  /** Its share of a transaction: rows, of which a large one counts as several. */
  readonly weight: number;
  readonly sinceMs: number;
}

/**
 * What waits for others than us: somebody holds the lock of a stream, or has taken an id in a transaction that does not end. It waits
 * apart from the queue, so that nothing waits behind it.
 *
 * Where it is known which streams are held, their submissions are in line for them, and each is tried alone: the first that is written
 * shows that its streams are free again. Where it is not known, half of what failed together is tried at a time, until what hinders is alone.
 * Lines take turns.
 */
export interface HeldUp<Item extends Submission> {
  /** Rows that wait here. */
  readonly rows: number;
  readonly isEmpty: boolean;
  /** Takes what has to wait out of what failed together, and answers with the rest. `streams` is empty where it is not known which are held. */
  keep(failed: readonly Item[], streams: ReadonlySet<string>): readonly Item[];
  /** Takes it in if one of its streams is held. */
  join(item: Item): boolean;
  /** A stream of these rows is held. */
  concerns(rows: readonly AppendRow[]): boolean;
  /** What is to be tried next, together. */
  next(): readonly Item[] | undefined;
  /** To be told of what was written: answers with what need not wait here any more. */
  written(items: readonly Item[]): readonly Item[];
  /** False: it is not here, or is being tried. */
  remove(item: Item): boolean;
  /** Takes out what has waited since before then. */
  expire(beforeMs: number): readonly Item[];
}

/** The name of a held stream, or of nothing but itself. */
type LineName = string | symbol;

export function createHeldUp<Item extends Submission>(): HeldUp<Item> {
  const held = new Set<string>();
  // In the order of their turns.
  const lines = new Map<LineName, (readonly Item[])[]>();
  let rows = 0;

  function heldStreamOf(ofRows: readonly AppendRow[]): string | undefined {
    return held.size === 0 ? undefined : ofRows.find(({ stream }) => held.has(stream))?.stream;
  }

  function enter(name: LineName, part: readonly Item[]): void {
    const line = lines.get(name) ?? [];
    lines.set(name, line);
    line.push(part);
    for (const item of part) rows += item.rows.length;
  }

  function leave(part: readonly Item[]): readonly Item[] {
    for (const item of part) rows -= item.rows.length;
    return part;
  }

  function join(item: Item): boolean {
    const stream = heldStreamOf(item.rows);
    if (stream === undefined) return false;
    enter(stream, [item]);
    return true;
  }

  /** Takes items out, wherever they are. */
  function takeOut(isMeant: (item: Item) => boolean): readonly Item[] {
    const taken: Item[] = [];
    for (const [name, line] of lines) {
      const left = line
        .map((part) => part.filter((item) => !isMeant(item)))
        .filter(({ length }) => length > 0);
      taken.push(...line.flatMap((part) => part.filter(isMeant)));
      if (left.length === 0) lines.delete(name);
      else lines.set(name, left);
    }
    return leave(taken);
  }

  return {
    get rows() {
      return rows;
    },
    get isEmpty() {
      return lines.size === 0;
    },
    keep(failed, streams) {
      for (const stream of streams) held.add(stream);
      const rest = failed.filter((item) => !join(item));
      if (streams.size > 0) return rest;
      const middle = Math.ceil(rest.length / 2);
      for (const part of [rest.slice(0, middle), rest.slice(middle)])
        if (part.length > 0) enter(Symbol(), part);
      return [];
    },
    join,
    concerns: (ofRows) => heldStreamOf(ofRows) !== undefined,
    next() {
      const [first] = lines;
      if (first === undefined) return undefined;
      const [name, line] = first;
      const part = line.shift();
      lines.delete(name);
      if (line.length > 0) lines.set(name, line);
      return part === undefined ? undefined : leave(part);
    },
    written(items) {
      const freed = new Set<string>();
      for (const item of items)
        for (const { stream } of item.rows) if (held.delete(stream)) freed.add(stream);
      if (freed.size === 0) return [];
      const waited = [...freed].flatMap((stream) => {
        const line = lines.get(stream) ?? [];
        lines.delete(stream);
        return leave(line.flat());
      });
      return waited.filter((item) => !join(item));
    },
    remove: (item) => takeOut((one) => one === item).length > 0,
    expire: (beforeMs) => takeOut(({ sinceMs }) => sinceMs <= beforeMs),
  };
}
