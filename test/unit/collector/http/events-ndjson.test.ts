import { expect, test } from 'vitest';
import { createProblem, ProblemError } from '../../../../collector/src/errors.ts';
import { eventLines } from '../../../../collector/src/http/events-ndjson.ts';
import type { EventPage, PageRefusal, PageRequest } from '../../../../collector/src/read/page.ts';
import type { ColumnEvent } from '../../../../collector/src/store/columns.ts';
import { oneEvent } from '../../../harness/one-event.ts';

const request: PageRequest = {
  streamId: 1,
  start: { at: 'earliest' },
  until: undefined,
  limit: 10,
  maxBytes: 1_000,
  filter: undefined,
  skipExpired: false,
};

test('G12 lines end with the problem when the key is revoked between two pieces', async () => {
  const revoked = new AbortController();
  const page: EventPage<ColumnEvent> = {
    head: { identity: 1n, epoch: 1, epochStart: 0n, retainedMark: 0n, watermark: 9n },
    events: [],
    next: { orderTime: 1n, seq: 1n },
    hasMore: true,
  };
  let asked = 0;
  const lines = eventLines({
    stream: 'endless',
    request,
    first: page,
    reader: {
      page() {
        asked += 1;
        if (asked === 3) revoked.abort(new ProblemError(createProblem('unauthenticated', 'It was revoked.')));
        return Promise.resolve(page);
      },
    },
    revoked: revoked.signal,
    problemOf(error) {
      if (error instanceof ProblemError) return error.problem;
      throw error;
    },
  });
  const all: string[] = [];
  for await (const line of lines) all.push(Buffer.from(line).toString());
  expect(asked).toBe(3);
  expect(all.map((line) => JSON.parse(line) as unknown)).toEqual([
    { problem: createProblem('unauthenticated', 'It was revoked.') },
  ]);
});

/** A page of a stream whose further pieces are these, and what was asked for them. */
async function linesOf(pieces: readonly (EventPage<ColumnEvent> | PageRefusal | Error)[]) {
  const asked: PageRequest[] = [];
  const lines = eventLines({
    stream: 'changing',
    request: { ...request, skipExpired: true },
    first: emptyPage({ watermark: 9n, hasMore: true }),
    reader: {
      async page(request) {
        const piece = pieces[asked.length];
        asked.push(request);
        if (piece === undefined || piece instanceof Error) throw piece ?? new Error('there is no more');
        return piece;
      },
    },
    revoked: new AbortController().signal,
    problemOf: () => createProblem('store_unavailable', 'It is away.', { retryAfterMs: 1_000 }),
  });
  const all: unknown[] = [];
  for await (const line of lines) all.push(JSON.parse(Buffer.from(line).toString()));
  return { all, asked };
}

function emptyPage({ watermark, hasMore }: { watermark: bigint; hasMore: boolean }): EventPage<ColumnEvent> {
  const head = { identity: 1n, epoch: 1, epochStart: 0n, retainedMark: 0n, watermark };
  return { head, events: [], next: { orderTime: 1n, seq: 1n }, hasMore };
}

test('every piece ends at the watermark of the first, and the trailer tells that one', async () => {
  const later = { watermark: 2_000_009n };
  const { all, asked } = await linesOf([
    emptyPage({ ...later, hasMore: true }),
    emptyPage({ ...later, hasMore: false }),
  ]);
  expect(asked.map(({ until }) => until)).toEqual([9n, 9n]);
  expect(all).toMatchObject([{ hasMore: false, watermark: '1970-01-01T00:00:00.000009Z' }]);
});

test.each([
  [
    { refused: 'cursor_expired', earliestCursor: 'later' },
    { code: 'cursor_expired', earliestCursor: 'later' },
  ],
  [
    { refused: 'epoch_changed', resumeCursor: 'before' },
    { code: 'epoch_changed', resumeCursor: 'before' },
  ],
  [{ refused: 'stream_not_found' }, { code: 'stream_not_found' }],
  [new Error('the connection is lost'), { code: 'store_unavailable' }],
] as const)('a piece that cannot be read (%o) ends the page with the problem', async (piece, problem) => {
  const { all, asked } = await linesOf([emptyPage({ watermark: 9n, hasMore: true }), piece]);
  expect(all).toMatchObject([{ problem }]);
  // Nothing is left out in the middle of a page, also where its start may be moved.
  expect(asked.map(({ skipExpired }) => skipExpired)).toEqual([false, false]);
});

test('the piece after next is fetched while the next is sent, but only to a reader that has taken one', async () => {
  let asked = 0;
  const events = [{ orderTime: 1n, seq: 1n, bytes: 1, columns: oneEvent, index: 0 }];
  const page = { ...emptyPage({ watermark: 9n, hasMore: true }), events };
  const lines = eventLines({
    stream: 'long',
    request: { ...request, maxBytes: 1e6 },
    first: page,
    reader: {
      async page() {
        asked += 1;
        return page;
      },
    },
    revoked: new AbortController().signal,
    problemOf: () => createProblem('store_unavailable', 'It is away.', { retryAfterMs: 1_000 }),
  });
  await lines.next();
  expect(asked).toBe(0);
  await lines.next();
  expect(asked).toBe(2);
  await lines.next();
  expect(asked).toBe(3);
  await lines.return(undefined);
  expect(asked).toBe(3);
});

test('a statement is on its way before the piece before it is rendered, and looks at little more than fits', async () => {
  const event = { orderTime: 1n, seq: 1n, bytes: 1_000, columns: oneEvent, index: 0 };
  const page = { ...emptyPage({ watermark: 9n, hasMore: true }), events: [event] };
  const limits: number[] = [];
  let sent = 0;
  const lines = eventLines({
    stream: 'long',
    request: { ...request, limit: 10_000, maxBytes: 16_000_000 },
    first: page,
    reader: {
      async page({ limit }) {
        limits.push(limit);
        await Promise.resolve();
        // As the driver does it.
        setImmediate(() => {
          sent += 1;
        });
        return page;
      },
    },
    revoked: new AbortController().signal,
    problemOf: () => createProblem('store_unavailable', 'It is away.', { retryAfterMs: 1_000 }),
  });
  await lines.next();
  await lines.next();
  expect(sent).toBe(2);
  await lines.return(undefined);
  // 1.1 MiB of events that count for 1,350 bytes each.
  expect(limits).toEqual([855, 855]);
});
