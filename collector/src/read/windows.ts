import type { StreamHead } from '../store/page.ts';
import type { ExtentRequest, Grouping, PaneRow, PanesRequest } from '../store/windows.ts';
import type { PageRefusal, Start } from './page.ts';
import { encodeWindowCursor, type WindowCursor } from './window-cursor.ts';

/**
 * Tumbling windows, aligned to the Unix epoch. A window is complete when the watermark has passed its end, and holds the events with an
 * order time in it. It never changes: an event that came late is in the window of its order time, as a pane of its own that says to which
 * window it belongs. So what was given for a window, and all panes for it in later ones, is what there ever will be.
 */
export interface WindowsRequest {
  readonly streamId: number;
  readonly start: WindowStart;
  readonly sizeMicros: bigint;
  readonly groupBy: Grouping | undefined;
  readonly sum: readonly string[] | undefined;
  readonly kind: number;
  /** Entries of the reply: windows, and runs of empty ones. */
  readonly limit: number;
}

/** A time is rounded up to the next boundary. */
export type WindowStart = Start<WindowCursor>;

export type WindowEntry =
  | {
      readonly start: bigint;
      readonly end: bigint;
      /** It goes on from the reply before. */
      readonly continued: boolean;
      readonly panes: readonly PaneRow[];
    }
  /** So many windows in which nothing is. */
  | { readonly start: bigint; readonly end: bigint; readonly emptyWindows: number };

export interface WindowsPage {
  readonly head: StreamHead;
  readonly entries: readonly WindowEntry[];
  readonly next: WindowCursor;
  readonly completeThrough: bigint;
}

export interface WindowsDependencies {
  readonly readHead: (streamId: number) => Promise<StreamHead | undefined>;
  readonly readExtent: (
    range: ExtentRequest,
  ) => Promise<{ readonly first: bigint | undefined; readonly last: bigint | undefined }>;
  readonly readPanes: (request: PanesRequest) => Promise<readonly PaneRow[]>;
}

export interface WindowReaderOptions {
  /** Panes of a reply. */
  readonly panesMax: number;
  /** Events that several windows of a reply may hold; one window may have more. */
  readonly eventsMax: number;
}

export const windowReaderDefaults = { panesMax: 10_000, eventsMax: 300_000 } as const;

/** Runs of empty windows that are longer are given as one. */
const emptyWindowsMax = 60;

export interface WindowReader {
  windows(request: WindowsRequest): Promise<WindowsPage | PageRefusal>;
}

export function createWindowReader(
  { readHead, readExtent, readPanes }: WindowsDependencies,
  { panesMax, eventsMax }: WindowReaderOptions = windowReaderDefaults,
): WindowReader {
  async function windows(request: WindowsRequest): Promise<WindowsPage | PageRefusal> {
    const { streamId, sizeMicros: size } = request;
    const head = await readHead(streamId);
    if (head === undefined) return { refused: 'stream_not_found' };
    const refusal = refusalOf(request, head);
    if (refusal !== undefined) return refusal;
    const completeThrough = down(head.watermark, size);
    const begin = await beginOf(request, head, completeThrough);
    const page = await collect(request, head, begin, completeThrough);
    // What was read is whole if it is still kept, and the database is still the same.
    const now = await readHead(streamId);
    if (now === undefined) return { refused: 'stream_not_found' };
    const wasKept =
      now.identity === head.identity && now.epoch === head.epoch && now.retainedMark <= begin.start;
    if (wasKept || page.entries.length === 0) return page;
    const isFixed = request.start.at === 'cursor' || request.start.at === 'time';
    return (isFixed ? refusalOf(restart(request, begin, head), now) : undefined) ?? windows(request);
  }

  interface Begin {
    readonly start: bigint;
    readonly panesGiven: number;
  }

  async function beginOf(request: WindowsRequest, head: StreamHead, complete: bigint): Promise<Begin> {
    const { start, sizeMicros: size, streamId } = request;
    if (start.at === 'cursor') return start.cursor;
    if (start.at === 'time') return { start: up(start.orderTime, size), panesGiven: 0 };
    if (start.at === 'latest') return { start: complete, panesGiven: 0 };
    // A stream that has lost nothing begins with its first event, not with the first window there could be.
    const earliest = up(head.retainedMark, size);
    const { first } = await readExtent({ streamId, from: earliest, to: complete, span: 1n, events: 1 });
    return {
      start: first === undefined ? (complete > earliest ? complete : earliest) : down(first, size),
      panesGiven: 0,
    };
  }

  async function collect(
    request: WindowsRequest,
    head: StreamHead,
    begin: Begin,
    complete: bigint,
  ): Promise<WindowsPage> {
    const { streamId, sizeMicros: size, limit } = request;
    const entries: WindowEntry[] = [];
    const endAt = (start: bigint, panesGiven = 0): WindowsPage => {
      const next = { identity: head.identity, epoch: head.epoch, start, panesGiven, kind: request.kind };
      return { head, entries, next, completeThrough: complete };
    };
    if (begin.start >= complete) return endAt(begin.start, begin.panesGiven);

    const span = size * BigInt(limit);
    const extent = await readExtent({ streamId, from: begin.start, to: complete, span, events: eventsMax });
    const first = extent.first === undefined ? complete : down(extent.first, size);
    const filled = addEmpty(entries, { from: begin.start, to: first, size, limit });
    if (filled < first || first >= complete || entries.length >= limit) return endAt(filled);

    const skip = first === begin.start ? begin.panesGiven : 0;
    // The rest of a large window comes alone. Erasing a person may have left it with fewer panes: none of the next one is left out for that.
    const most = first + size * BigInt(skip > 0 ? 1 : limit - entries.length);
    const counted = extent.last === undefined ? complete : later(down(extent.last, size), first + size);
    const to = [most, counted, complete].reduce((a, b) => (a < b ? a : b));
    const { groupBy, sum } = request;
    const range = { streamId, sizeMicros: size, from: first, to, groupBy, sum, skip };
    const rows = await readPanes({ ...range, limit: panesMax + 1 });
    const cut = rows.length > panesMax ? rows[panesMax]?.window : undefined;
    // A window that does not fit is left to the next reply, if it is not the only one.
    const isSplit = cut === first;
    const end = cut === undefined ? to : isSplit ? first + size : cut;
    const given = isSplit ? rows.slice(0, panesMax) : rows.filter(({ window }) => window < end);
    const reached = addWindows(entries, given, { from: first, to: end, size, limit, skip, complete });
    return isSplit ? endAt(first, skip + panesMax) : endAt(reached);
  }

  return { windows };
}

interface Stretch {
  readonly from: bigint;
  readonly to: bigint;
  readonly size: bigint;
  readonly limit: number;
}

/** Adds windows without events, up to the limit; answers with where it came to. */
function addEmpty(entries: WindowEntry[], { from, to, size, limit }: Stretch): bigint {
  const windows = Number((to - from) / size);
  if (windows > emptyWindowsMax && entries.length < limit) {
    entries.push({ start: from, end: to, emptyWindows: windows });
    return to;
  }
  let start = from;
  for (; start < to && entries.length < limit; start += size)
    entries.push({ start, end: start + size, continued: false, panes: [] });
  return start;
}

function addWindows(
  entries: WindowEntry[],
  rows: readonly PaneRow[],
  { from, to, size, limit, skip, complete }: Stretch & { readonly skip: number; readonly complete: bigint },
): bigint {
  if (rows.length === 0 && skip > 0) {
    entries.push({ start: from, end: to, continued: true, panes: [] });
    return to;
  }
  let reached = from;
  for (let at = 0; at < rows.length; ) {
    const start = rows[at]?.window ?? to;
    reached = addEmpty(entries, { from: reached, to: start, size, limit });
    if (reached < start || entries.length >= limit) return reached;
    const panes: PaneRow[] = [];
    for (let row = rows[at]; row?.window === start; row = rows[++at]) panes.push(row);
    entries.push({ start, end: start + size, continued: skip > 0 && start === from, panes });
    reached = start + size;
  }
  // Empty windows that go on beyond what was looked at are counted by the next reply.
  return to < complete ? reached : addEmpty(entries, { from: reached, to, size, limit });
}

function refusalOf(
  { start, sizeMicros: size, kind }: WindowsRequest,
  head: StreamHead,
): PageRefusal | undefined {
  const cursorAt = (time: bigint) =>
    encodeWindowCursor({ identity: head.identity, epoch: head.epoch, start: time, panesGiven: 0, kind });
  if (start.at === 'cursor') {
    const { cursor } = start;
    const isOther = cursor.identity !== head.identity || cursor.epoch > head.epoch || cursor.kind !== kind;
    if (isOther || down(cursor.start, size) !== cursor.start) return { refused: 'invalid_cursor' };
    if (cursor.epoch < head.epoch) {
      const epochStart = down(head.epochStart, size);
      return {
        refused: 'epoch_changed',
        resumeCursor: cursorAt(cursor.start < epochStart ? cursor.start : epochStart),
      };
    }
  }
  const begin =
    start.at === 'cursor' ? start.cursor.start : start.at === 'time' ? up(start.orderTime, size) : undefined;
  if (begin !== undefined && begin < head.retainedMark) {
    return { refused: 'cursor_expired', earliestCursor: cursorAt(up(head.retainedMark, size)) };
  }
  return undefined;
}

/** The same request from a place that is known. */
function restart(
  request: WindowsRequest,
  { start, panesGiven }: { readonly start: bigint; readonly panesGiven: number },
  { identity, epoch }: StreamHead,
): WindowsRequest {
  return {
    ...request,
    start: { at: 'cursor', cursor: { identity, epoch, start, panesGiven, kind: request.kind } },
  };
}

/** The last boundary that is not after a moment. */
function down(moment: bigint, size: bigint): bigint {
  const rest = moment % size;
  return rest < 0n ? moment - rest - size : moment - rest;
}

/** The first boundary that is not before a moment. */
function up(moment: bigint, size: bigint): bigint {
  const below = down(moment, size);
  return below === moment ? below : below + size;
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
