import { type Page, parseTime } from '@tidemark/core/wire';
import type { TestCollector } from './collector.ts';

let streams = 0;

/** A stream of a test's own; without a delay what is posted can be read at once. */
export async function makeStream(collector: TestCollector, watermarkDelayMs = 0): Promise<string> {
  const stream = `stream-${++streams}`;
  const made = await collector.request(`/v1/streams/${stream}`, {
    method: 'PUT',
    body: { watermarkDelayMs },
  });
  if (made.status !== 200) throw new Error(`PUT ${stream}: ${made.status}`);
  return stream;
}

/** Posts events in one batch and waits until all of them can be read. */
export async function fillStream(
  collector: TestCollector,
  stream: string,
  events: readonly object[],
): Promise<Page> {
  const posted = await collector.post(
    events.map((event) => ({ stream, name: 'x', ...event })),
    { clock: { offsetMs: 0, rttMs: 0 } },
  );
  if (posted.rejected > 0) throw new Error(JSON.stringify(posted.results));
  let page = await collector.read(stream, 'from=latest');
  while (micros(page.watermark) <= micros(posted.respondedAt))
    page = await collector.read(stream, `cursor=${page.nextCursor}&wait=1`);
  return page;
}

const micros = (text: string): bigint => parseTime(text) ?? 0n;

export const numbered = (count: number, change: (index: number) => object = () => ({})) =>
  Array.from({ length: count }, (_, index) => ({ id: `event-${index}`, ...change(index) }));
