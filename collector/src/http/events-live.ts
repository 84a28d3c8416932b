import { formatTime, type Problem } from '@tidemark/core/wire';
import type { Clock } from '../clock.ts';
import { encodeCursor } from '../read/cursor.ts';
import { after } from '../read/follow.ts';
import type { Live } from '../read/live.ts';
import type { EventPage, PageRefusal, PageRequest, Reader } from '../read/page.ts';
import { renderColumnArray } from '../read/render-events.ts';
import type { ColumnEvent } from '../store/columns.ts';
import type { Placed } from '../store/page.ts';
import { refusedRead } from './refused-read.ts';

/** So often a live reader hears where the watermark is, at least; it also keeps the connection from looking dead. */
const heartbeatMs = 10_000;
/** So long a live read lasts, give or take a fifth: then readers spread over the collectors that there are. */
const lifetimeMs = 300_000;
/** When to come back, at least. */
const retryMs = 500;

export interface LiveEvents {
  readonly stream: string;
  readonly request: PageRequest;
  /** Asked for once. Who gives it keeps nothing of it: as long as a reader takes nothing, all that is kept is what it was sent. */
  readonly takeFirst: () => EventPage<ColumnEvent>;
  readonly reader: Reader<ColumnEvent>;
  readonly live: Live;
  readonly clock: Pick<Clock, 'after' | 'monotonicMs' | 'random'>;
  readonly problemOf: (error: unknown) => Problem;
  /** Nobody reads any more. */
  readonly gone: AbortSignal;
  /** The collector closes. */
  readonly closing: AbortSignal;
  /** The reader's key was revoked: aborted with the problem as its reason. */
  readonly revoked: AbortSignal;
}

/**
 * A stream as server-sent events. `id` is the place that a reconnect goes on from, so nothing is skipped or repeated. Each event is made when
 * the socket has taken the one before.
 *
 * Ends with `bye` (come back, here or elsewhere), or with `problem`.
 */
export async function* liveEvents(options: LiveEvents): AsyncGenerator<string | Buffer> {
  const { stream, request, takeFirst, reader, live, clock, gone, closing, revoked, problemOf } = options;
  const lifetime = new AbortController();
  const stopLifetime = clock.after(lifetimeMs * (0.8 + clock.random() * 0.4), () => lifetime.abort());
  let page = takeFirst();
  let toldMs = Number.NEGATIVE_INFINITY;

  try {
    yield `retry: ${retryAfter(clock)}\n\n`;
    for (;;) {
      if (page.gap !== undefined) yield gapOf(page);
      if (page.events.length > 0) yield takeEvents();
      if (clock.monotonicMs() - toldMs >= heartbeatMs) {
        yield watermarkOf(page);
        toldMs = clock.monotonicMs();
      }
      if (gone.aborted || closing.aborted || revoked.aborted || lifetime.signal.aborted) break;
      if (isOver(page, request)) break;
      if (!page.hasMore) await waitFor(page, [gone, closing, revoked, lifetime.signal], toldMs + heartbeatMs);
      page = accepted(await reader.page(after(request, page)));
    }
    revoked.throwIfAborted();
    yield `event: bye\nretry: ${retryAfter(clock)}\ndata: {}\n\n`;
  } catch (error) {
    const problem = problemOf(error);
    yield `event: problem\nretry: ${problem.retryAfterMs ?? retryAfter(clock)}\ndata: ${JSON.stringify(problem)}\n\n`;
  } finally {
    stopLifetime();
  }

  /** While the reader takes its time there is nothing left of the events but what it was sent. */
  function takeEvents(): Buffer {
    const events = renderColumnArray(`${messageStart('events', page)}data: `, stream, page, '\n\n');
    page = { ...page, events: [] };
    return events;
  }

  function accepted(next: EventPage<ColumnEvent> | PageRefusal): EventPage<ColumnEvent> {
    if ('refused' in next) throw refusedRead(next, stream);
    return next;
  }

  async function waitFor(
    from: EventPage<Placed>,
    ends: readonly AbortSignal[],
    dueMs: number,
  ): Promise<void> {
    const heartbeat = new AbortController();
    const stop = clock.after(Math.max(0, dueMs - clock.monotonicMs()), () => heartbeat.abort());
    try {
      await live.next(
        request.streamId,
        from.next,
        request.until,
        AbortSignal.any([...ends, heartbeat.signal]),
      );
    } finally {
      stop();
    }
  }
}

/** All that was asked for was given. */
function isOver({ head, hasMore }: EventPage<Placed>, { until }: PageRequest): boolean {
  return !hasMore && until !== undefined && head.watermark >= until;
}

/** A message whose `id` is the place that a page ends at, up to its data. */
function messageStart(name: string, { head, next }: EventPage<Placed>): string {
  return `event: ${name}\nid: ${encodeCursor(head.identity, head.epoch, next)}\n`;
}

function watermarkOf(page: EventPage<Placed>): string {
  const behind = page.head.watermark - page.next.orderTime;
  const data = {
    watermark: formatTime(page.head.watermark),
    behindMs: behind > 0n ? Number(behind / 1_000n) : 0,
  };
  return `${messageStart('watermark', page)}data: ${JSON.stringify(data)}\n\n`;
}

function gapOf({ gap }: EventPage<Placed>): string {
  const data = gap && { from: formatTime(gap.from), to: formatTime(gap.to) };
  return `event: gap\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Spread, so that readers do not come back together. */
function retryAfter(clock: Pick<Clock, 'random'>): number {
  return Math.ceil(retryMs * (1 + clock.random()));
}
