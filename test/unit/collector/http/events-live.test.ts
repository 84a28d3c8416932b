import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { createProblem, ProblemError } from '../../../../collector/src/errors.ts';
import { liveEvents } from '../../../../collector/src/http/events-live.ts';
import type { EventPage, PageRequest, Reader } from '../../../../collector/src/read/page.ts';
import type { ColumnEvent } from '../../../../collector/src/store/columns.ts';
import type { StreamHead } from '../../../../collector/src/store/page.ts';
import type { Live } from '../../../../collector/src/read/live.ts';
import { createFakeClock } from '../../../harness/clock.ts';
import { oneEvent } from '../../../harness/one-event.ts';

const second = 1_000_000n;

const quiet: Live = {
  count: 0,
  wake: () => undefined,
  next: (_stream, _position, _until, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) resolve(false);
      signal.addEventListener('abort', () => resolve(false));
    }),
};

/** A stream on which nothing happens but time: its watermark follows the clock. */
function createQuiet(change: { readonly until?: bigint; readonly gapAtPage?: number } = {}) {
  const clock = createFakeClock();
  const aborts = {
    gone: new AbortController(),
    closing: new AbortController(),
    revoked: new AbortController(),
  };
  const head = (): StreamHead => ({
    identity: 1n,
    epoch: 1,
    epochStart: 0n,
    retainedMark: 0n,
    watermark: second + BigInt(Math.round(clock.monotonicMs())) * 1_000n,
  });
  const page = (): EventPage<ColumnEvent> => ({
    head: head(),
    events: [],
    next: { orderTime: head().watermark, seq: 0n },
    hasMore: false,
  });
  const request: PageRequest = {
    streamId: 1,
    start: { at: 'latest' },
    until: change.until,
    limit: 10,
    maxBytes: 1_000,
    filter: undefined,
    skipExpired: false,
  };
  let pages = 0;
  const reader: Reader<ColumnEvent> = {
    page() {
      pages += 1;
      const gap = { from: second, to: 2n * second };
      return Promise.resolve({ ...page(), ...(pages === change.gapAtPage && { gap }) });
    },
  };
  const messages: string[] = [];
  const pieces = liveEvents({
    stream: 'quiet',
    request,
    takeFirst: page,
    reader,
    live: quiet,
    clock,
    problemOf: (error) => {
      if (error instanceof ProblemError) return error.problem;
      throw error;
    },
    gone: aborts.gone.signal,
    closing: aborts.closing.signal,
    revoked: aborts.revoked.signal,
  });
  const ended = (async () => {
    for await (const piece of pieces)
      messages.push(/^event: (\w+)/.exec(String(piece))?.[1] ?? String(piece).trim());
  })();
  return { clock, messages, aborts, ended };
}

describe('a live read on which nothing comes', () => {
  test('tells the watermark at once and every ten seconds', async () => {
    const { clock, messages, aborts, ended } = createQuiet();
    await clock.advance(0);
    expect(messages).toEqual([expect.stringMatching(/^retry: \d+$/), 'watermark']);
    for (let turn = 0; turn < 3; turn++) await clock.advance(10_000);
    expect(messages.slice(1)).toEqual(['watermark', 'watermark', 'watermark', 'watermark']);
    aborts.gone.abort();
    await ended;
  });

  test('G4 tells what is missing whenever it has expired before it was read', async () => {
    const { clock, messages, aborts, ended } = createQuiet({ gapAtPage: 2 });
    await clock.advance(10_000);
    expect(messages).not.toContain('gap');
    await clock.advance(10_000);
    expect(messages.slice(-2)).toEqual(['gap', 'watermark']);
    aborts.gone.abort();
    await ended;
  });

  test('ends after about five minutes with bye', async () => {
    const { clock, messages, ended } = createQuiet();
    let isEnded = false;
    void ended.then(() => {
      isEnded = true;
    });
    for (let second10 = 0; second10 < 24; second10++) await clock.advance(10_000);
    expect(isEnded).toBe(false);
    for (let second10 = 0; second10 < 13; second10++) await clock.advance(10_000);
    expect(isEnded).toBe(true);
    expect(messages.at(-1)).toBe('bye');
    expect(clock.waiting()).toBe(0);
  });

  test('ends at once with bye when the collector closes, and with the problem when the key is revoked', async () => {
    const closing = createQuiet();
    await closing.clock.advance(1);
    closing.aborts.closing.abort();
    await closing.ended;
    expect(closing.messages.at(-1)).toBe('bye');
    const revoked = createQuiet();
    await revoked.clock.advance(1);
    revoked.aborts.revoked.abort(new ProblemError(createProblem('unauthenticated', 'revoked')));
    await revoked.ended;
    expect(revoked.messages.at(-1)).toBe('problem');
  });

  test('ends with bye when the watermark passes until', async () => {
    const { clock, messages, ended } = createQuiet({ until: 12n * second });
    await clock.advance(10_000);
    await clock.advance(10_000);
    await ended;
    expect(messages.at(-1)).toBe('bye');
  });
});

describe('a live read that nobody takes anything from', () => {
  test('G5 keeps none of the events that it was made of', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const kept: WeakRef<object>[] = [];
    const makePage = (at: bigint): EventPage<ColumnEvent> => {
      const events = [eventAt(at)];
      kept.push(new WeakRef(events));
      return { head, events, next: { orderTime: at, seq: 1n }, hasMore: true };
    };
    let at = 1n;
    const pieces = liveEvents({
      stream: 'full',
      request: {
        streamId: 1,
        start: { at: 'earliest' },
        until: undefined,
        limit: 1,
        maxBytes: 1_000,
        filter: undefined,
        skipExpired: false,
      },
      takeFirst: () => makePage(0n),
      reader: { page: () => Promise.resolve(makePage(at++)) },
      live: quiet,
      clock: createFakeClock(),
      problemOf: (error) => {
        throw error;
      },
      gone: new AbortController().signal,
      closing: new AbortController().signal,
      revoked: new AbortController().signal,
    });
    await pieces.next();
    for (const page of [1, 2, 3]) {
      let piece = await pieces.next();
      while (!String(piece.value).startsWith('event: events')) piece = await pieces.next();
      expect(kept).toHaveLength(page);
      // What a promise has brought stays until the turn is over.
      await new Promise((resolve) => setImmediate(resolve));
      collectGarbage();
      expect(kept.filter((ref) => ref.deref() !== undefined)).toEqual([]);
    }
    await pieces.return(undefined);
  });
});

const head: StreamHead = {
  identity: 1n,
  epoch: 1,
  epochStart: 0n,
  retainedMark: 0n,
  watermark: second,
};

function eventAt(orderTime: bigint): ColumnEvent {
  return { orderTime, seq: 1n, bytes: 10, columns: oneEvent, index: 0 };
}
