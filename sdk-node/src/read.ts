import { type Page, type PageEnd, parseTime, paths } from '@tidemark/core/wire';
import { type AskParts, askPatiently, wholeWhere } from './ask.ts';
import { TidemarkError } from './errors.ts';
import type { EventOf, EventPage } from './events.ts';

export interface ReadOptions {
  /** Start after this position; without `cursor` and `from`: the earliest event kept. */
  readonly cursor?: string | undefined;
  /** Start at `earliest`, at `latest`, or at an order time (RFC 3339). */
  readonly from?: 'earliest' | 'latest' | (string & {}) | undefined;
  /** End before this order time (RFC 3339), as soon as the stream is complete up to it. */
  readonly until?: string | undefined;
  /** true (default): wait for events to come. false: end when all that is complete was given. */
  readonly follow?: boolean | undefined;
  /** Events of a page, 1–10,000. Default 1,000. */
  readonly pageEvents?: number | undefined;
  /** Only events of these names, or of this key. */
  readonly names?: readonly string[] | undefined;
  readonly key?: string | undefined;
  /** Where to go on when the cursor is older than what is kept: default is an error with `earliestCursor`. */
  readonly onExpired?: 'error' | 'earliest' | undefined;
  /**
   * When the database was restored or switched since the cursor was given: go on where the collector says (default), which skips and
   * repeats nothing that is stored, or an error with `resumeCursor`.
   */
  readonly onEpochChanged?: 'resume' | 'error' | undefined;
  /** Ends the loop, without an error. */
  readonly signal?: AbortSignal | undefined;
}

/** What one page is asked for. */
export type PageOptions = Omit<ReadOptions, 'signal' | 'onEpochChanged'> & {
  /** Which part of the stream, and of how many. */
  readonly shard?: { readonly index: number; readonly of: number } | undefined;
};

export interface ReadParts extends AskParts {
  /** Ends every loop: the client was closed. */
  readonly closed: AbortSignal;
}

/** Seconds the collector may hold a request back until there is something to give. */
export const waitSeconds = 20;

/**
 * The events of a stream in its order, each exactly once, for as long as the loop runs. Goes on at the last page's cursor after a lost
 * connection, a restart of the collector, 429 and 5xx. Holds one page at a time.
 *
 * @throws TidemarkError when going on is impossible: a cursor that is unknown or expired, a key that may not read, no such stream.
 */
export async function* readStream<Events>(
  parts: ReadParts,
  stream: string,
  options: ReadOptions,
): AsyncGenerator<EventOf<Events>, void, undefined> {
  for await (const page of readPages<Events>(parts, stream, options)) yield* page.events;
}

/** The same in pages. An empty one comes too, whenever a wait ends without an event: its cursor has moved on all the same. */
export function readPages<Events>(
  parts: ReadParts,
  stream: string,
  options: ReadOptions,
): AsyncGenerator<EventPage<Events>, void, undefined> {
  return followPages(parts, stream, options, (text) => pageOf(text) as EventPage<Events> | undefined);
}

/** The same for whoever wants to see the text of the answers. */
export async function* followPages<P extends PageEnd>(
  parts: ReadParts,
  stream: string,
  options: ReadOptions,
  parse: (text: string) => P | undefined,
): AsyncGenerator<P, void, undefined> {
  const signal = options.signal ? AbortSignal.any([options.signal, parts.closed]) : parts.closed;
  let cursor = options.cursor;
  for (;;) {
    const asked = { path: pagePath(stream, { ...options, cursor }), waitSeconds };
    const page = await askPatiently(parts, asked, signal, parse).catch((error: unknown) =>
      resumeCursorOf(error, options.onEpochChanged),
    );
    if (page === undefined) return;
    if (typeof page === 'string') {
      cursor = page;
      continue;
    }
    yield page;
    cursor = page.nextCursor;
    if (signal.aborted || isOver(page, options)) return;
  }
}

/** Tries until there is a page; undefined when aborted. */
export function nextPage(
  parts: AskParts,
  stream: string,
  options: PageOptions,
  signal: AbortSignal,
): Promise<Page | undefined> {
  return askPatiently(parts, { path: pagePath(stream, options), waitSeconds }, signal, pageOf);
}

/** Where to go on in the new epoch. Throws the error if it says anything else, or if that is not wanted. */
export function resumeCursorOf(error: unknown, wanted: ReadOptions['onEpochChanged'] = 'resume'): string {
  if (error instanceof TidemarkError && error.code === 'epoch_changed' && wanted === 'resume') {
    const { resumeCursor } = error.problem;
    if (resumeCursor !== undefined) return resumeCursor;
  }
  throw error;
}

function pagePath(stream: string, options: PageOptions): string {
  const { cursor, shard } = options;
  const query = new URLSearchParams();
  if (cursor !== undefined) query.set('cursor', cursor);
  else query.set('from', options.from ?? 'earliest');
  if (options.until !== undefined) query.set('until', options.until);
  if (options.pageEvents !== undefined) query.set('limit', String(options.pageEvents));
  if (options.names !== undefined) query.set('name', options.names.join(','));
  if (options.key !== undefined) query.set('key', options.key);
  if (shard !== undefined && shard.of > 1) query.set('shard', `${shard.index}/${shard.of}`);
  if (options.onExpired !== undefined) query.set('onExpired', options.onExpired);
  if (options.follow !== false) query.set('wait', String(waitSeconds));
  return `${paths.streamEvents(stream)}?${query.toString()}`;
}

function isOver(page: PageEnd, { follow, until }: ReadOptions): boolean {
  if (page.hasMore) return false;
  if (follow === false) return true;
  const end = until === undefined ? undefined : parseTime(until);
  const watermark = parseTime(page.watermark);
  return end !== undefined && watermark !== undefined && watermark >= end;
}

const pageOf = wholeWhere<Page>(
  ({ events, nextCursor }) => Array.isArray(events) && typeof nextCursor === 'string',
);
