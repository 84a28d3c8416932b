import type { Counters } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type SeenRequest, type SmallCollector, startSmallCollector } from './small-collector.ts';

/** A client of one of the SDKs, wherever it runs: every SDK has to answer to the same cases. */
export interface Subject {
  track(events: readonly Tracked[]): Promise<void>;
  flush(): Promise<{ readonly pending: number }>;
  counters(): Promise<Counters & { readonly pending: number }>;
  close(): Promise<void>;
}

export interface Tracked {
  readonly name: string;
  readonly props?: object;
  readonly id?: string;
}

export interface SubjectOptions {
  readonly url: string;
  readonly key: string;
  readonly lingerMs: number;
  readonly retryDelayMs: number;
  readonly retryDelayMsMax: number;
  readonly requestTimeoutMs: number;
  /** The wall clock of the client is so far ahead of this one. */
  readonly clockAheadMs: number;
}

const usual = {
  key: 'k',
  lingerMs: 20,
  retryDelayMs: 20,
  retryDelayMsMax: 100,
  requestTimeoutMs: 10_000,
  clockAheadMs: 0,
};

/** The cases, against a real HTTP server with the faults of a collector and of the network to it. */
export function describeSdk(name: string, create: (options: SubjectOptions) => Promise<Subject>): void {
  describe(`${name}: an SDK`, () => {
    let collector: SmallCollector;
    let subject: Subject | undefined;

    beforeEach(async () => {
      collector = await startSmallCollector();
    });

    afterEach(async () => {
      await subject?.close();
      await collector.close();
    });

    const start = async (options: Partial<SubjectOptions> = {}): Promise<Subject> => {
      subject = await create({ ...usual, url: collector.url, ...options });
      return subject;
    };
    const posts = (): SeenRequest[] => collector.requests.filter(({ path }) => path === '/v1/events');
    const storedIds = (): (string | undefined)[] => collector.stored.map(({ id }) => id);

    test('sends what is tracked together in one request, in order, each event with an id of its own', async () => {
      const client = await start();
      await client.track(numbered(40));
      expect(await client.flush()).toEqual({ pending: 0 });
      expect(posts()).toHaveLength(1);
      expect(collector.stored.map(({ props }) => props?.['index'])).toEqual(numbers(40));
      expect(new Set(storedIds()).size).toBe(40);
      expect(await client.counters()).toMatchObject({ queued: 40, sent: 40, duplicates: 0, pending: 0 });
    });

    test('sends nothing before a Retry-After of a 429 is over, and then everything', async () => {
      let refusedAtMs: number | undefined;
      collector.fault = () => {
        if (refusedAtMs !== undefined) return undefined;
        refusedAtMs = performance.now();
        const body = { code: 'overloaded', retryAfterMs: 1_000 };
        return { kind: 'answer', status: 429, headers: { 'retry-after': '1' }, body };
      };
      const client = await start();
      await client.track(numbered(10));
      expect(await client.flush()).toEqual({ pending: 0 });
      expect(posts().map(({ status }) => status)).toEqual([429, 200]);
      expect(performance.now() - (refusedAtMs ?? 0)).toBeGreaterThanOrEqual(1_000);
      expect(collector.stored).toHaveLength(10);
    });

    test('sends again what was answered 503', async () => {
      let left = 3;
      collector.fault = () =>
        left-- > 0 ? { kind: 'answer', status: 503, body: { code: 'store_unavailable' } } : undefined;
      const client = await start();
      await client.track(numbered(10));
      expect(await client.flush()).toEqual({ pending: 0 });
      expect(posts().map(({ status }) => status)).toEqual([503, 503, 503, 200]);
      expect(await client.counters()).toMatchObject({ sent: 10, duplicates: 0 });
    });

    test('halves a batch that is answered 413 until it fits', async () => {
      collector.fault = ({ events }) =>
        events.length > 3 ? { kind: 'answer', status: 413, body: { code: 'batch_too_large' } } : undefined;
      const client = await start();
      await client.track(numbered(10));
      expect(await client.flush()).toEqual({ pending: 0 });
      expect(collector.stored.map(({ props }) => props?.['index'])).toEqual(numbers(10));
      expect(collector.duplicates()).toBe(0);
    });

    test('sends again when the connection was cut', async () => {
      let left = 2;
      collector.fault = () => (left-- > 0 ? { kind: 'cut', stored: false } : undefined);
      const client = await start();
      await client.track(numbered(10));
      expect(await client.flush()).toEqual({ pending: 0 });
      expect(collector.stored).toHaveLength(10);
      expect(await client.counters()).toMatchObject({ sent: 10, duplicates: 0 });
    });

    test('G2 sends the same events with the same ids when a reply was lost', async () => {
      let left = 2;
      collector.fault = () => (left-- > 0 ? { kind: 'cut', stored: true } : undefined);
      const client = await start();
      await client.track(numbered(10));
      expect(await client.flush()).toEqual({ pending: 0 });
      expect(collector.stored).toHaveLength(10);
      const bodies = posts().map(({ events }) => JSON.stringify(events));
      expect(new Set(bodies).size).toBe(1);
      expect(await client.counters()).toMatchObject({ sent: 0, duplicates: 10 });
    });

    test('does not wait for ever for an answer, and stamps each attempt anew', async () => {
      let left = 1;
      collector.fault = () => (left-- > 0 ? { kind: 'hang' } : undefined);
      const client = await start({ requestTimeoutMs: 300 });
      await client.track(numbered(10));
      expect(await client.flush()).toEqual({ pending: 0 });
      expect(collector.stored).toHaveLength(10);
      expect(new Set(posts().map(({ query }) => query.get('sentAt'))).size).toBe(posts().length);
    });

    test('G4 tells with the next batch what it had to give up, on every attempt, until that has arrived', async () => {
      let left = 2;
      collector.fault = () => (left-- > 0 ? { kind: 'cut', stored: false } : undefined);
      const client = await start();
      const tooLarge = { name: 'large', props: { text: 'x'.repeat(70_000) } };
      await client.track([tooLarge, ...numbered(3), tooLarge]);
      expect(await client.flush()).toEqual({ pending: 0 });
      await client.track(numbered(1));
      expect(await client.flush()).toEqual({ pending: 0 });
      const told = '{"too_large":2}';
      expect(posts().map(({ query }) => query.get('dropped'))).toEqual([told, told, told, null]);
      expect(await client.counters()).toMatchObject({ queued: 6, sent: 4, dropped: { too_large: 2 } });
    });

    test('states how far its clock is off', async () => {
      const client = await start({ clockAheadMs: 3_600_000 });
      await client.track(numbered(1));
      expect(await client.flush()).toEqual({ pending: 0 });
      const [post] = posts();
      expect(Math.abs(Number(post?.query.get('offsetMs')) + 3_600_000)).toBeLessThan(5_000);
      expect(post?.query.has('rttMs')).toBe(true);
      const [event] = collector.stored;
      expect(Math.abs(Date.parse(event?.occurredAt ?? '') - Date.now() - 3_600_000)).toBeLessThan(30_000);
    });

    test('G4 counts what the collector rejects, and its neighbours arrive', async () => {
      collector.fault = () => ({ kind: 'reject', ids: new Set(['bad']) });
      const client = await start();
      await client.track([
        { name: 'good', id: 'good' },
        { name: 'bad', id: 'bad' },
      ]);
      expect(await client.flush()).toEqual({ pending: 0 });
      expect(storedIds()).toEqual(['good']);
      expect(await client.counters()).toMatchObject({ queued: 2, sent: 1, rejected: 1, pending: 0 });
    });
  });
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function numbered(count: number): Tracked[] {
  return numbers(count).map((index) => ({ name: 'numbered', props: { index } }));
}
