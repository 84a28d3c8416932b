import { setTimeout as sleep } from 'node:timers/promises';
import { type Page, paths } from '@tidemark/core/wire';
import type { BenchCollector } from '../bench/bench.ts';

/** Readers as there are many, that go on until they are stopped. What they have read is counted, and thrown away. */
export interface Readers {
  readonly counts: Readonly<Record<'pages' | 'events' | 'liveBytes' | 'connections' | 'refused', number>>;
  /** Rejects with what keeps one of them from reading; resolves when all are stopped. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

const firstPageEveryMs = 100;
const comeBackMs = 1_000;
/** So long one of the live readers stays before it goes without a word, and another one comes. */
const visitMs = 2_000;

export function startReaders({ url, keys }: BenchCollector, stream: string): Readers {
  const stopped = new AbortController();
  const { signal } = stopped;
  const counts = { pages: 0, events: 0, liveBytes: 0, connections: 0, refused: 0 };

  async function get(query: string, accept: string, until: AbortSignal): Promise<Response> {
    const answer = await fetch(new URL(`${paths.streamEvents(stream)}?${query}`, url), {
      headers: { authorization: `Bearer ${keys.read}`, accept },
      signal: until,
    });
    if (answer.ok) return answer;
    const text = await answer.text();
    if (answer.status !== 429 && answer.status !== 503) throw new Error(`${query}: ${answer.status} ${text}`);
    // As any client does on a busy machine: it comes back.
    counts.refused += 1;
    await sleep(comeBackMs, undefined, { signal: until });
    return get(query, accept, until);
  }

  async function page(query: string): Promise<Page> {
    const answer = await get(query, 'application/json', signal);
    const found = (await answer.json()) as Page;
    counts.pages += 1;
    counts.events += found.events.length;
    return found;
  }

  /** By long polls, from now on. */
  async function followByPages(): Promise<void> {
    for (let { nextCursor } = await page('from=latest'); ; )
      ({ nextCursor } = await page(`cursor=${nextCursor}&limit=10000&maxBytes=4194304&wait=20`));
  }

  async function readFirstPages(): Promise<void> {
    for (;;) {
      await page('from=earliest&limit=1000');
      await sleep(firstPageEveryMs, undefined, { signal });
    }
  }

  /** One response after the other, each until it ends. */
  async function followLive(query: string): Promise<void> {
    for (;;) await readLive(query, signal);
  }

  async function visitLive(query: string): Promise<void> {
    while (!signal.aborted) {
      const visit = new AbortController();
      const leave = () => visit.abort();
      const leaving = setTimeout(leave, visitMs);
      signal.addEventListener('abort', leave);
      try {
        await readLive(query, visit.signal);
      } catch (error) {
        if (!visit.signal.aborted) throw error;
      } finally {
        clearTimeout(leaving);
        signal.removeEventListener('abort', leave);
      }
    }
  }

  async function readLive(query: string, until: AbortSignal): Promise<void> {
    counts.connections += 1;
    const answer = await get(query, 'text/event-stream', until);
    for await (const chunk of answer.body ?? []) counts.liveBytes += (chunk as Uint8Array).length;
  }

  const reading = [
    followByPages(),
    readFirstPages(),
    followLive('from=latest&name=order.placed'),
    visitLive('from=latest&maxBytes=65536'),
  ].map((reader) =>
    reader.catch((error: unknown) => {
      if (!signal.aborted) throw error;
    }),
  );
  const ended = Promise.all(reading);
  ended.catch(() => {});
  return {
    counts,
    ended,
    async stop() {
      stopped.abort();
      await ended;
    },
  };
}
