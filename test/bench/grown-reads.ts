import { setTimeout as sleep } from 'node:timers/promises';
import { formatTime, type Page, paths, type WindowsPage } from '@tidemark/core/wire';
import { Pool } from 'undici';
import type { Measurement } from './figure.ts';
import type { Grown } from './grown.ts';
import { percentile } from './statistics.ts';

const pageEvents = 1_000;
const pagesEach = 40;
const windowReplies = 10;
/** So that a reply is about as large in a small stream as in a large one. */
const windowsPerReply = 2;
const readableMsMax = 60_000;

/** Pages at the beginning, in the middle and near the end, one reader, and counts by windows of a second. */
export async function measureReads({ collector, sql, stream }: Grown): Promise<Measurement> {
  const pool = new Pool(collector.url, { connections: 1 });
  const headers = { authorization: `Bearer ${collector.keys.read}` };

  async function get(path: string): Promise<{ readonly reply: unknown; readonly ms: number }> {
    const startedMs = performance.now();
    const answer = await pool.request({ method: 'GET', path, headers });
    const text = await answer.body.text();
    const ms = performance.now() - startedMs;
    if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode} ${text.slice(0, 500)}`);
    return { reply: JSON.parse(text), ms };
  }

  async function pages(start: () => string): Promise<number> {
    const took: number[] = [];
    for (let page = 0; page < pagesEach; page += 1) {
      const { reply, ms } = await get(`${paths.streamEvents(stream)}?limit=${pageEvents}&${start()}`);
      const { events } = reply as Page;
      if (events.length !== pageEvents) throw new Error(`a page has ${events.length} events`);
      took.push(ms);
    }
    return percentile(took, 0.5);
  }

  async function windows(start: () => string): Promise<number> {
    let events = 0;
    let seconds = 0;
    for (let count = 0; count < windowReplies; count += 1) {
      const { reply, ms } = await get(
        `${paths.streamWindows(stream)}?size=1s&groupBy=name&limit=${windowsPerReply}&${start()}`,
      );
      for (const window of (reply as WindowsPage).windows)
        if ('panes' in window) for (const pane of window.panes) events += pane.count;
      seconds += ms / 1_000;
    }
    return events / seconds;
  }

  try {
    const { first, last, end } = await placesOf({ sql, stream });
    await waitForWatermark(async () => {
      const { reply } = await get(`${paths.streamEvents(stream)}?limit=1`);
      return (reply as Page).watermark;
    }, end);
    /** Somewhere in the middle half, another place each time. */
    const middle = () => first + ((end - first) * BigInt(250 + Math.floor(Math.random() * 500))) / 1_000n;
    return {
      'ms first page': await pages(() => 'from=earliest'),
      'ms page in the middle': await pages(() => `from=${formatTime(middle())}`),
      'ms page near the end': await pages(() => `from=${formatTime(last)}`),
      'events/s in windows': await windows(() => `from=${formatTime(middle())}`),
    };
  } finally {
    await pool.destroy();
  }
}

/** Order times: of the first event, of the last with a full page after it, and of the last one. */
async function placesOf({
  sql,
  stream,
}: Pick<Grown, 'sql' | 'stream'>): Promise<Record<'first' | 'last' | 'end', bigint>> {
  const [row] = await sql<[{ first: bigint; last: bigint; end: bigint }]>`
    with s as materialized (select stream_id from tidemark.streams where name = ${stream})
    select (select min(order_time) from tidemark.events where stream_id = (select stream_id from s)) as first,
      (select order_time from tidemark.events where stream_id = (select stream_id from s)
        order by order_time desc, seq desc offset ${2 * pageEvents} limit 1) as last,
      (select max(order_time) from tidemark.events where stream_id = (select stream_id from s)) as end`;
  return row;
}

async function waitForWatermark(read: () => Promise<string>, end: bigint): Promise<void> {
  const deadline = performance.now() + readableMsMax;
  while ((await read()) <= formatTime(end)) {
    if (performance.now() > deadline) throw new Error('the events do not become readable');
    await sleep(100);
  }
}
