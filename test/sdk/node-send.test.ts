import { createClient, type Report } from '@tidemark/node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { type SmallCollector, startSmallCollector } from './small-collector.ts';

const fast = { lingerMs: 20, retryDelayMs: 20, retryDelayMsMax: 100 };

describe('the node SDK sends', () => {
  let collector: SmallCollector;
  beforeEach(async () => {
    collector = await startSmallCollector();
  });
  afterEach(() => collector.close());

  test('what was tracked arrives, with its id, key, stream, props and time', async () => {
    const client = createClient({ url: collector.url, key: 'k', ...fast });
    client.track('order placed', { total: 12.5, ü: '€' }, { stream: 'orders', key: 'customer 1' });
    client.track('imported', {}, { id: 'x', occurredAt: new Date('2020-01-01T00:00:00Z') });
    expect(await client.flush()).toEqual({ pending: 0 });
    expect(collector.stored).toMatchObject([
      { name: 'order placed', stream: 'orders', key: 'customer 1', props: { total: 12.5, ü: '€' } },
      { name: 'imported', id: 'x', props: {}, occurredAt: '2020-01-01T00:00:00.000Z' },
    ]);
    expect(collector.stored[0]?.id).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    expect(collector.stored[0]?.occurredAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    await client.close();
  });

  test('events that follow each other share a request, and each attempt states when it was sent and the clock', async () => {
    const client = createClient({ url: collector.url, key: 'k', ...fast });
    for (let index = 0; index < 30; index++) client.track('tick', { index });
    await eventually('they arrive by themselves', () => collector.stored.length === 30);
    await client.close();
    const posts = collector.requests.filter(({ path }) => path === '/v1/events');
    expect(posts).toHaveLength(1);
    expect(posts[0]?.headers.authorization).toBe('Bearer k');
    expect(Math.abs(Date.parse(posts[0]?.query.get('sentAt') ?? '') - (posts[0]?.at ?? 0))).toBeLessThan(
      5_000,
    );
    expect(Number(posts[0]?.query.get('offsetMs'))).toBeLessThan(5_000);
    expect(posts[0]?.query.has('rttMs')).toBe(true);
  });

  test('G3 a batch whose outcome is unknown is sent again with the same bytes and a new sentAt', async () => {
    let attempts = 0;
    collector.fault = () => (++attempts === 1 ? { kind: 'cut', stored: true } : undefined);
    const client = createClient({ url: collector.url, key: 'k', ...fast });
    client.track('once', { n: 1 });
    client.track('once', { n: 2 });
    expect(await client.flush()).toEqual({ pending: 0 });
    const [first, second] = collector.requests.filter(({ path }) => path === '/v1/events');
    expect(second?.events).toEqual(first?.events);
    expect(second?.query.get('sentAt')).not.toBe(first?.query.get('sentAt'));
    expect(collector.stored).toHaveLength(2);
    expect(client.counters()).toMatchObject({ queued: 2, sent: 0, duplicates: 2, pending: 0 });
    await client.close();
  });

  test('nothing is sent before a Retry-After is over', async () => {
    let refusedAt = 0;
    collector.fault = () => {
      if (refusedAt > 0) return undefined;
      refusedAt = performance.now();
      return {
        kind: 'answer',
        status: 429,
        headers: { 'retry-after': '1' },
        body: { code: 'overloaded', retryAfterMs: 600 },
      };
    };
    const reports: Report[] = [];
    const client = createClient({
      url: collector.url,
      key: 'k',
      ...fast,
      onReport: (report) => reports.push(report),
    });
    client.track('one');
    await eventually('it is refused', () => refusedAt > 0);
    client.track('two');
    expect(await client.flush()).toEqual({ pending: 0 });
    expect(performance.now() - refusedAt).toBeGreaterThanOrEqual(1_000);
    expect(collector.requests.filter(({ path }) => path === '/v1/events')).toHaveLength(3);
    expect(reports).toMatchObject([{ kind: 'delayed', status: 429, code: 'overloaded', failures: 1 }]);
    await client.close();
  });

  test('G4 what the collector rejects is counted and reported, and its neighbours arrive', async () => {
    collector.fault = () => ({ kind: 'reject', ids: new Set(['bad']) });
    const reports: Report[] = [];
    const client = createClient({
      url: collector.url,
      key: 'k',
      ...fast,
      onReport: (report) => reports.push(report),
    });
    client.track('a', {}, { id: 'good' });
    client.track('b', {}, { id: 'bad' });
    await client.flush();
    expect(client.counters()).toMatchObject({ queued: 2, sent: 1, rejected: 1, pending: 0 });
    expect(reports).toMatchObject([
      { kind: 'lost', reason: 'rejected', code: 'invalid_props', events: [{ id: 'bad', name: 'b' }] },
    ]);
    await client.close();
  });

  test('G4 what close() could not send is reported, and so is what is tracked after it', async () => {
    await collector.down();
    const reports: Report[] = [];
    const client = createClient({
      url: collector.url,
      key: 'k',
      ...fast,
      onReport: (report) => reports.push(report),
    });
    client.track('before');
    await client.close({ timeoutMs: 50 });
    client.track('after');
    const lost = reports.filter((report) => report.kind === 'lost');
    expect(lost).toMatchObject([
      { reason: 'closed', events: [{ name: 'before' }] },
      { reason: 'closed', events: [{ name: 'after' }] },
    ]);
    expect(client.counters()).toMatchObject({ queued: 2, dropped: { closed: 2 }, pending: 0 });
    await collector.up();
  });

  test('wrong options are told at once', () => {
    expect(() => createClient({ url: 'ftp://x', key: 'k' })).toThrow(/http/);
    expect(() => createClient({ url: 'no', key: 'k' })).toThrow(/http/);
    expect(() => createClient({ url: 'http://x', key: '' })).toThrow(/key/);
  });
});
