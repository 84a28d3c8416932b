import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../harness/seed.ts';
import type { Collector } from './collectors.ts';
import { type Chain, earliest, type SeenPage } from './history.ts';
import { type Http, type ReadPage, UnavailableError } from './http.ts';
import { type ChainRecord, nowMs, type StreamRecord } from './record.ts';

/** Where a reader goes on after a page. What is right is `nextCursor`. */
export type Resume = (page: ReadPage) => Readonly<Record<string, string>> | undefined;

export const resumeAtNextCursor: Resume = (page) => ({ cursor: page.next });

export interface ReaderOptions {
  readonly http: Http;
  readonly collectors: readonly Collector[];
  readonly resume: Resume;
  readonly onSurprise: (error: unknown) => void;
}

/** A client that follows a stream with its cursor. */
export interface Reader {
  /** Reads on until it has passed this time, then ends. Rejects when the signal ends it before. */
  passed(time: bigint, signal: AbortSignal): Promise<void>;
}

/**
 * A `tail` waits for what is new. A `wanderer` takes pages of any size, now and then forgets where it was and goes back to a
 * cursor that it kept, or begins anew.
 */
export function startReader(
  options: ReaderOptions,
  stream: StreamRecord,
  name: string,
  style: 'tail' | 'wanderer',
  random: Random,
): Reader {
  const stopped = new AbortController();
  let target: bigint | undefined;
  let chain: ChainRecord = stream.chain(name, earliest);
  let query: Readonly<Record<string, string>> = { from: 'earliest' };
  let place: string = earliest;
  let kept: string = earliest;
  let failure: Error | undefined;

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      const page = await readOne();
      if (page === undefined) {
        await sleep(20 + random.below(80));
        continue;
      }
      chain.page(page);
      place = page.next;
      query = options.resume(page) ?? query;
      if (target !== undefined && !page.hasMore && page.watermark > target) return;
      if (style === 'wanderer') await wander();
    }
  }

  async function readOne(): Promise<ReadPage | undefined> {
    const collector = options.collectors[random.below(options.collectors.length)];
    if (collector === undefined) throw new Error('there is no collector');
    const waitSeconds = target !== undefined ? 0 : style === 'tail' ? 1 : random.below(2);
    const limit = style === 'tail' ? 2_000 : 1 + random.below(random.number() < 0.5 ? 20 : 500);
    const askedMs = nowMs();
    try {
      const asked = { ...query, limit: String(limit), wait: String(waitSeconds) };
      const signal = AbortSignal.any([
        stopped.signal,
        AbortSignal.timeout(waitSeconds * 1_000 + 1_000 + random.below(3_000)),
      ]);
      const page = await options.http.read(collector.url, stream.name, asked, signal);
      stream.told(askedMs, page.watermark);
      return page;
    } catch (error) {
      if (!(error instanceof UnavailableError)) options.onSurprise(error);
      return undefined;
    }
  }

  async function wander(): Promise<void> {
    const dice = random.number();
    if (dice < 0.1) kept = place;
    else if (dice < 0.13) begin(kept);
    else if (dice < 0.14) begin(earliest);
    if (dice > 0.5) await sleep(random.below(60));
  }

  function begin(at: string): void {
    chain = stream.chain(name, at);
    place = at;
    query = at === earliest ? { from: 'earliest' } : { cursor: at };
  }

  const running = run().catch((error: unknown) => {
    failure = error instanceof Error ? error : new Error(String(error));
  });
  return {
    async passed(time, signal) {
      target = time;
      const end = (): void => stopped.abort();
      signal.addEventListener('abort', end);
      if (signal.aborted) end();
      await running;
      signal.removeEventListener('abort', end);
      if (failure !== undefined) throw failure;
      if (signal.aborted) throw new Error(`${name} did not get to the end of ${stream.name}`);
    },
  };
}

/** Reads a stream from its beginning up to its watermark. */
export async function readAll(
  { http, collectors, onSurprise }: Omit<ReaderOptions, 'resume'>,
  stream: string,
  random: Random,
  signal: AbortSignal,
): Promise<Chain & { readonly watermark: bigint }> {
  const pages: SeenPage[] = [];
  let query: Readonly<Record<string, string>> = { from: 'earliest' };
  for (;;) {
    signal.throwIfAborted();
    const collector = collectors[random.below(collectors.length)];
    if (collector === undefined) throw new Error('there is no collector');
    try {
      const asked = { ...query, limit: String(500 + random.below(5_000)) };
      const page = await http.read(collector.url, stream, asked, AbortSignal.timeout(5_000));
      pages.push({ answeredMs: nowMs(), events: page.events, next: page.next });
      query = { cursor: page.next };
      if (!page.hasMore) return { reader: 'full', start: earliest, pages, watermark: page.watermark };
    } catch (error) {
      if (!(error instanceof UnavailableError)) onSurprise(error);
      await sleep(20);
    }
  }
}
