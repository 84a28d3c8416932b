import { backoffMs } from '@tidemark/core';
import { type Committed, type Lease, type Page, paths } from '@tidemark/core/wire';
import { askPatiently, pause, wholeWhere } from './ask.ts';
import type { ConsumeOptions, Handler } from './consume-options.ts';
import { TidemarkError } from './errors.ts';
import type { EventPage } from './events.ts';
import { nextPage, type ReadParts, resumeCursorOf } from './read.ts';

export interface ShardWork<Events> {
  readonly parts: ReadParts;
  readonly stream: string;
  readonly options: ConsumeOptions;
  readonly handler: Handler<Events>;
  readonly lease: Lease;
  /** Of the consumer. */
  readonly shards: number;
  readonly member: string;
  readonly leaseMs: number;
  /** No further page. */
  readonly stop: AbortSignal;
  /** Nothing more is waited for. */
  readonly cut: { readonly signal: AbortSignal };
  /** Whether this process has more shards than so many. */
  readonly tooMany: (share: number) => boolean;
}

export interface ShardWorker {
  /** It takes no further page. */
  readonly leaving: boolean;
  /** Rejects with what makes going on impossible. */
  readonly ended: Promise<void>;
  readonly generation: number;
  /** The shard is not this worker's any more. Resolves when it has ended. */
  lose(): Promise<void>;
}

const committedOf = wholeWhere<Committed>(({ cursor }) => typeof cursor === 'string');
const renewedOf = wholeWhere<Lease>(({ share }) => typeof share === 'number');
const handlerBackoff = { retryDelayMs: 200, retryDelayMsMax: 30_000 };

/**
 * One tenure of one shard: pages, handler, commits, and heartbeats beside them. It ends when it is told to, when the shard is lost, or
 * when this process has more than its share, and gives the shard back if it still has it.
 */
export function createShardWorker<Events>(work: ShardWork<Events>): ShardWorker {
  const { parts, stream, options, handler, lease, member, leaseMs, tooMany } = work;
  const { consumer } = options;
  const { shard, generation } = lease;
  const lost = new AbortController();
  const leave = new AbortController();
  const over = AbortSignal.any([work.stop, leave.signal, lost.signal]);
  const gone = AbortSignal.any([work.cut.signal, lost.signal]);

  const pages = (async () => {
    let cursor = lease.cursor;
    while (!over.aborted) {
      const page = await nextOf(cursor);
      if (page === undefined) return;
      if (typeof page === 'string') cursor = page;
      else if (await handle(page)) cursor = await commit(page.nextCursor);
    }
  })();
  const ended = finish();
  // Whoever waits for it is told; until then it is nobody's.
  ended.catch(() => {});

  return {
    get leaving() {
      return over.aborted;
    },
    ended,
    generation,
    lose() {
      lost.abort();
      return ended.catch(() => {});
    },
  };

  async function finish(): Promise<void> {
    const beating = new AbortController();
    const beats = beat(AbortSignal.any([beating.signal, gone]));
    try {
      await pages;
    } finally {
      beating.abort();
      await beats;
      if (!lost.signal.aborted) await release();
    }
  }

  /** A page, or where to look for it in the new epoch. */
  function nextOf(cursor: string): Promise<Page | string | undefined> {
    const { pageEvents, names, key, onExpired } = options;
    const asked = { cursor, pageEvents, names, key, onExpired, shard: { index: shard, of: work.shards } };
    return nextPage(parts, stream, asked, over).catch((error: unknown) => resumeCursorOf(error));
  }

  /** False: it was not handled, and is not ours to handle any more. */
  async function handle(page: Page): Promise<boolean> {
    for (let attempt = 1; page.events.length > 0; attempt++) {
      const about = { consumer, member, shard, attempt, signal: lost.signal };
      try {
        await handler(page as EventPage<Events>, about);
        break;
      } catch (error) {
        if (options.onError) options.onError(error, about);
        else
          process.emitWarning(`Consumer ${consumer} failed and goes on: ${String(error)}`, 'TidemarkWarning');
        await pause(backoffMs(attempt, parts.platform.random, handlerBackoff), over);
        if (over.aborted) return false;
      }
    }
    return !lost.signal.aborted;
  }

  /** Where to go on. In a new epoch that is where the collector says. */
  async function commit(cursor: string): Promise<string> {
    const path = paths.consumerCursor(stream, consumer, shard);
    try {
      const ask = { method: 'PUT' as const, path, body: { cursor, generation } };
      await askPatiently(parts, ask, gone, committedOf);
      return cursor;
    } catch (error) {
      if (error instanceof TidemarkError && error.code === 'stale_generation') {
        lost.abort();
        return cursor;
      }
      return commit(resumeCursorOf(error));
    }
  }

  async function beat(end: AbortSignal): Promise<void> {
    for (;;) {
      await pause(leaseMs / 3, end);
      if (end.aborted) return;
      const body = { member, ttlMs: leaseMs, shard };
      const ask = { method: 'POST' as const, path: paths.consumerLease(stream, consumer), body };
      try {
        const renewed = await askPatiently(parts, ask, end, renewedOf);
        if (renewed === undefined) return;
        if (renewed.generation !== generation) lost.abort();
        else if (!over.aborted && tooMany(renewed.share)) leave.abort();
      } catch {
        // Somebody else has it, or the consumer is gone: then the next request of the pages says so as well.
        lost.abort();
      }
    }
  }

  /** If it cannot be said, the lease ends by itself. */
  async function release(): Promise<void> {
    const path = paths.consumerLease(stream, consumer);
    const ask = { method: 'DELETE' as const, path, body: { member, shard, generation } };
    const soon = AbortSignal.any([work.cut.signal, AbortSignal.timeout(parts.requestTimeoutMs)]);
    await askPatiently(parts, ask, soon, () => true).catch(() => {});
  }
}
