import { paths, type Window, type WindowsPage } from '@tidemark/core/wire';
import { askPatiently, wholeWhere } from './ask.ts';
import { type ReadOptions, type ReadParts, resumeCursorOf, waitSeconds } from './read.ts';

export interface WindowsOptions extends Pick<ReadOptions, 'from' | 'follow' | 'onEpochChanged' | 'signal'> {
  /** How long a window is: `1s` to `1d`, such as `60s`, `5m`, `1h`. */
  readonly size: string;
  /** What names the group of an event: `name`, `key`, or a path such as `props.adId`. Without it all events are one group. */
  readonly groupBy?: 'name' | 'key' | `props.${string}` | undefined;
  /** Where the numbers are that are summed: a path such as `props.price`. */
  readonly sum?: `props.${string}` | undefined;
  /** Go on after a page of windows of the same `size` and `groupBy`. */
  readonly cursor?: string | undefined;
  /** Windows of a page, 1–1,000. Default 100. */
  readonly pageWindows?: number | undefined;
}

/**
 * Complete windows of a stream, each once, in order. Goes on over everything that `read` goes on over.
 *
 * @throws TidemarkError when going on is impossible.
 */
export async function* readWindows(
  parts: ReadParts,
  stream: string,
  options: WindowsOptions,
): AsyncGenerator<Window, void, undefined> {
  for await (const page of followWindows(parts, stream, options, pageOf)) yield* page.windows;
}

/** The same page by page, each with the cursor to go on from. */
export function readWindowPages(
  parts: ReadParts,
  stream: string,
  options: WindowsOptions,
): AsyncGenerator<WindowsPage, void, undefined> {
  return followWindows(parts, stream, options, pageOf);
}

/** The same for whoever wants to see the text of the answers. */
export async function* followWindows<P extends WindowsPage>(
  parts: ReadParts,
  stream: string,
  options: WindowsOptions,
  parse: (text: string) => P | undefined,
): AsyncGenerator<P, void, undefined> {
  const signal = options.signal ? AbortSignal.any([options.signal, parts.closed]) : parts.closed;
  let cursor = options.cursor;
  while (!signal.aborted) {
    const ask = { path: pathOf(stream, { ...options, cursor }), waitSeconds };
    const page = await askPatiently(parts, ask, signal, parse).catch((error: unknown) =>
      resumeCursorOf(error, options.onEpochChanged),
    );
    if (page === undefined) return;
    if (typeof page === 'string') {
      cursor = page;
      continue;
    }
    if (page.windows.length > 0) yield page;
    else if (options.follow === false) return;
    cursor = page.nextCursor;
  }
}

function pathOf(stream: string, options: WindowsOptions): string {
  const query = new URLSearchParams({ size: options.size });
  if (options.cursor !== undefined) query.set('cursor', options.cursor);
  else query.set('from', options.from ?? 'earliest');
  if (options.groupBy !== undefined) query.set('groupBy', options.groupBy);
  if (options.sum !== undefined) query.set('sum', options.sum);
  if (options.pageWindows !== undefined) query.set('limit', String(options.pageWindows));
  if (options.follow !== false) query.set('wait', String(waitSeconds));
  return `${paths.streamWindows(stream)}?${query.toString()}`;
}

const pageOf = wholeWhere<WindowsPage>(
  ({ windows, nextCursor }) => Array.isArray(windows) && typeof nextCursor === 'string',
);
