import { formatTime, streamNamePattern } from '@tidemark/core/wire';
import { Hono } from 'hono';
import type { Clock } from '../clock.ts';
import type { Live } from '../read/live.ts';
import type { PageRefusal } from '../read/page.ts';
import { encodeWindowCursor } from '../read/window-cursor.ts';
import type { WindowEntry, WindowReader, WindowsPage, WindowsRequest } from '../read/windows.ts';
import type { Stream } from '../store/streams.ts';
import type { PaneRow } from '../store/windows.ts';
import type { Authenticate, WatchKey } from './authenticate.ts';
import type { OpenRead } from './open-reads.ts';
import { refusedRead, streamNotFound } from './refused-read.ts';
import type { Replies } from './respond.ts';
import { readWindowsQuery } from './windows-query.ts';

export interface WindowsDependencies {
  readonly authenticate: Authenticate;
  readonly watchKey: WatchKey;
  readonly replies: Replies;
  readonly findStream: (name: string) => Promise<Pick<Stream, 'streamId'> | undefined>;
  readonly windowReader: WindowReader;
  readonly live: Live;
  readonly clock: Pick<Clock, 'after'>;
  readonly openRead: OpenRead;
  /** Aborted when the collector closes. */
  readonly closing: AbortSignal;
}

/** After every event: who waits for a window waits for time alone. */
const endOfTime = { orderTime: (1n << 63n) - 1n, seq: (1n << 63n) - 1n };

/** `GET /v1/streams/{stream}/windows`: complete windows, counted and summed by group; with `wait`, as soon as the next one is complete. */
export function createWindowsRoute(dependencies: WindowsDependencies): Hono {
  const { authenticate, watchKey, replies, findStream, windowReader, live, clock, openRead, closing } =
    dependencies;

  return new Hono().get('/v1/streams/:stream/windows', async (context) => {
    const name = context.req.param('stream');
    const principal = await authenticate(context, { role: 'read', stream: name });
    const { waitSeconds, ...query } = readWindowsQuery(context.req.query());
    const stream = streamNamePattern.test(name) ? await findStream(name) : undefined;
    if (stream === undefined) throw streamNotFound(name);
    const request = { streamId: stream.streamId, ...query };
    const release = openRead();
    const { revoked, stop } = watchKey(principal);
    try {
      const gone = AbortSignal.any([context.req.raw.signal, closing, revoked]);
      const page = await read(request, name, waitSeconds, gone);
      revoked.throwIfAborted();
      return replies.text(renderWindows(page), 'application/json');
    } finally {
      stop();
      release();
    }
  });

  async function read(
    request: WindowsRequest,
    stream: string,
    waitSeconds: number,
    gone: AbortSignal,
  ): Promise<WindowsPage> {
    const page = given(await windowReader.windows(request), stream);
    if (page.entries.length > 0 || waitSeconds === 0) return page;
    const timer = new AbortController();
    const stopTimer = clock.after(waitSeconds * 1_000, () => timer.abort());
    try {
      await waitFor(page, request, AbortSignal.any([timer.signal, gone]));
    } finally {
      stopTimer();
    }
    const start = { at: 'cursor', cursor: page.next } as const;
    return given(await windowReader.windows({ ...request, start }), stream);
  }

  function waitFor(
    { next }: WindowsPage,
    { streamId, sizeMicros }: WindowsRequest,
    signal: AbortSignal,
  ): Promise<unknown> {
    return live.next(streamId, endOfTime, next.start + sizeMicros, signal);
  }
}

function given(page: WindowsPage | PageRefusal, stream: string): WindowsPage {
  if (!('refused' in page)) return page;
  throw refusedRead(page, stream);
}

/** Numbers and groups go through as the text they have in Postgres, so that no digit is lost. */
function renderWindows({ head, entries, next, completeThrough }: WindowsPage): string {
  return (
    `{"windows":[${entries.map(renderEntry).join(',')}],"nextCursor":"${encodeWindowCursor(next)}",` +
    `"completeThrough":"${formatTime(completeThrough)}","watermark":"${formatTime(head.watermark)}"}`
  );
}

function renderEntry(entry: WindowEntry): string {
  const bounds = `"start":"${formatTime(entry.start)}","end":"${formatTime(entry.end)}"`;
  if ('emptyWindows' in entry) return `{${bounds},"empty":true,"windows":${entry.emptyWindows}}`;
  const continued = entry.continued ? '"continued":true,' : '';
  return `{${bounds},${continued}"panes":[${entry.panes.map(renderPane).join(',')}]}`;
}

function renderPane({ window, paneWindow, group, count, sum }: PaneRow): string {
  const timing = paneWindow === window ? 'onTime' : 'late';
  return `{"windowStart":"${formatTime(paneWindow)}","timing":"${timing}","group":${group},"count":${count},"sum":${sum ?? 'null'}}`;
}
