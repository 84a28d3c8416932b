import type { Submission } from './held-up.ts';

/** What can wait. */
type Waiting = Pick<Submission, 'sender' | 'weight' | 'sinceMs'> & { readonly rows: readonly unknown[] };

/**
 * A queue in which senders take turns, so that one that brings much waits for itself and not others for it: deficit round robin
 * (Shreedhar and Varghese, 1995). With each turn a sender may have `turnWeight` more written, and keeps what it did not use while
 * it has something waiting. What one sender brings stays in its order.
 */
export interface FairQueue<Item extends Waiting> {
  readonly length: number;
  push(item: Item): void;
  /** Up to so much weight, in the order in which they came; a single item may have more. */
  take(weightMax: number): readonly Item[];
  /** False: it was taken before. */
  remove(item: Item): boolean;
  /** Since when the oldest item waits, of one sender or of all; undefined: none does. */
  oldestSinceMs(sender?: string): number | undefined;
  /** Rows that wait, of one sender or of all. */
  rows(sender?: string): number;
}

const turnWeight = 200;

interface Turns<Item> {
  readonly items: Item[];
  /** Of its items. */
  rows: number;
  /** Weight that it may still have written. */
  credit: number;
  /** It is its turn, and it got its credit: a group that was full ended it early. */
  begun: boolean;
}

export function createFairQueue<Item extends Waiting>(): FairQueue<Item> {
  // In the order of their turns.
  const senders = new Map<string, Turns<Item>>();
  // In the order in which they came.
  const all = new Set<Item>();
  let allRows = 0;

  function leave(turns: Turns<Item>, item: Item): void {
    all.delete(item);
    turns.rows -= item.rows.length;
    allRows -= item.rows.length;
  }

  function take(weightMax: number): readonly Item[] {
    const taken: Item[] = [];
    let weight = 0;
    for (;;) {
      const [next] = senders;
      if (next === undefined) break;
      const [sender, turns] = next;
      if (!turns.begun) turns.credit += turnWeight;
      turns.begun = true;
      for (let [item] = turns.items; item !== undefined; [item] = turns.items) {
        // Nobody else waits: turns would only go round.
        const mayGo = item.weight <= turns.credit || senders.size === 1;
        if (!mayGo) break;
        if (taken.length > 0 && weight + item.weight > weightMax) return inOrder(taken);
        turns.credit = Math.max(0, turns.credit - item.weight);
        weight += item.weight;
        taken.push(item);
        turns.items.shift();
        leave(turns, item);
      }
      senders.delete(sender);
      turns.begun = false;
      if (turns.items.length > 0) senders.set(sender, turns);
    }
    return inOrder(taken);
  }

  return {
    get length() {
      return all.size;
    },
    push(item) {
      all.add(item);
      const turns = senders.get(item.sender) ?? { items: [], rows: 0, credit: 0, begun: false };
      senders.set(item.sender, turns);
      turns.items.push(item);
      turns.rows += item.rows.length;
      allRows += item.rows.length;
    },
    take,
    remove(item) {
      const turns = senders.get(item.sender);
      if (turns === undefined || !all.has(item)) return false;
      turns.items.splice(turns.items.indexOf(item), 1);
      leave(turns, item);
      if (turns.items.length === 0) senders.delete(item.sender);
      return true;
    },
    oldestSinceMs(sender) {
      if (sender !== undefined) return senders.get(sender)?.items[0]?.sinceMs;
      const [oldest] = all;
      return oldest?.sinceMs;
    },
    rows: (sender) => (sender === undefined ? allRows : (senders.get(sender)?.rows ?? 0)),
  };
}

/** Of two copies of an event the one that came first is stored. */
function inOrder<Item extends Waiting>(taken: readonly Item[]): readonly Item[] {
  return taken.toSorted((a, b) => a.sinceMs - b.sinceMs);
}
