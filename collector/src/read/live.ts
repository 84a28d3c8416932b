import type { Position } from '../store/page.ts';

/**
 * Readers that wait for events. All that wait for one stream in this process share one look at the database per wake-up; the
 * wake-up comes from the advancer, each time it has published.
 */
export interface Live {
  /** How many wait: while anybody does, the advancer ticks faster. */
  readonly count: number;
  /** To be called whenever watermarks may have moved. */
  wake(): void;
  /**
   * Resolves to true when an event after `position` can be read, to false when `until` is passed by the watermark, or the
   * signal is aborted. Rejects when the database cannot be asked.
   */
  next(
    streamId: number,
    position: Position,
    until: bigint | undefined,
    signal: AbortSignal,
  ): Promise<boolean>;
}

export interface Newest {
  readonly watermark: bigint;
  /** The last event below the watermark, if it is not before the time asked for. */
  readonly last: Position | undefined;
}

interface Waiter {
  readonly position: Position;
  readonly until: bigint | undefined;
  settle(result: boolean): void;
  fail(error: unknown): void;
}

export function createLive(
  readNewest: (streamId: number, since: bigint) => Promise<Newest | undefined>,
  hurry: () => void,
): Live {
  const waiters = new Map<number, Set<Waiter>>();
  const looking = new Set<number>();

  async function look(streamId: number, group: Set<Waiter>): Promise<void> {
    if (looking.has(streamId)) return;
    looking.add(streamId);
    // Who comes during the look is not answered by it: it may stand before the place that the look begins at.
    const present = [...group];
    try {
      const newest = await readNewest(streamId, earliestOf(present));
      for (const waiter of present) {
        const readable = newest?.last !== undefined && isAfter(newest.last, waiter.position);
        const ended =
          newest === undefined || (waiter.until !== undefined && newest.watermark >= waiter.until);
        if (readable || ended) waiter.settle(readable);
      }
    } catch (error) {
      for (const waiter of present) waiter.fail(error);
    } finally {
      looking.delete(streamId);
    }
  }

  return {
    get count() {
      let count = 0;
      for (const group of waiters.values()) count += group.size;
      return count;
    },

    wake() {
      for (const [streamId, group] of waiters) void look(streamId, group);
    },

    next(streamId, position, until, signal) {
      if (signal.aborted) return Promise.resolve(false);
      return new Promise((resolve, reject) => {
        const group = waiters.get(streamId) ?? new Set<Waiter>();
        const leave = (): void => {
          signal.removeEventListener('abort', abort);
          group.delete(waiter);
          if (group.size === 0 && waiters.get(streamId) === group) waiters.delete(streamId);
        };
        const waiter: Waiter = {
          position,
          until,
          settle(result) {
            leave();
            resolve(result);
          },
          fail(error) {
            leave();
            reject(error instanceof Error ? error : new Error(String(error)));
          },
        };
        const abort = (): void => waiter.settle(false);
        signal.addEventListener('abort', abort);
        group.add(waiter);
        waiters.set(streamId, group);
        hurry();
      });
    },
  };
}

function earliestOf(group: readonly Waiter[]): bigint {
  let earliest: bigint | undefined;
  for (const { position } of group) {
    if (earliest === undefined || position.orderTime < earliest) earliest = position.orderTime;
  }
  return earliest ?? 0n;
}

function isAfter(a: Position, b: Position): boolean {
  return a.orderTime > b.orderTime || (a.orderTime === b.orderTime && a.seq > b.seq);
}
