import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Chromium, findChromium, startChromium } from '../harness/chromium.ts';
import { eventually } from '../harness/eventually.ts';
import { type SmallCollector, startSmallCollector } from '../sdk/small-collector.ts';
import { type Site, startSite } from './site.ts';

const program = await findChromium();

/** The browser did not keep the page, for a reason of its own. */
class NotKept extends Error {}

/** About one page in thirty is not kept. */
const attemptsMax = 5;

describe.skipIf(program === undefined)('in Chromium a page that comes back from the cache of pages', () => {
  let chromium: Chromium;
  let site: Site;
  let collector: SmallCollector;
  let page: Page;

  beforeAll(async () => {
    [chromium, site] = await Promise.all([startChromium(program ?? '', { keepsPages: true }), startSite()]);
    // Without a page the browser would end.
    await chromium.context.newPage();
  });
  afterAll(async () => {
    await chromium?.close();
    await site?.close();
  });
  /** A test with a page of its own; another one where Chromium did not keep it, which is for Chromium to say. */
  const withPage = (run: () => Promise<void>) => async (): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      collector = await startSmallCollector();
      page = await chromium.context.newPage();
      try {
        await page.goto(`${site.url}/one`);
        await page.evaluate(
          "shows = [], addEventListener('pageshow', ({ persisted }) => shows.push(persisted)), null",
        );
        await begin();
        return await run();
      } catch (error) {
        if (!(error instanceof NotKept) || attempt === attemptsMax) throw error;
      } finally {
        await page.close();
        await collector.close();
      }
    }
  };

  const begin = (): Promise<unknown> =>
    page.evaluate(`client = tidemark.createClient({ url: '${collector.url}', key: 'k' }), null`);
  const track = (count: number): string =>
    `for (let i = 0; i < ${count}; i++) client.track('tracked', { i });`;
  const leave = async (work: string): Promise<void> => {
    await page.evaluate(`${work} location.href = '/two'; null`);
    await page.waitForURL('**/two');
  };
  /** It really is the page that was left, and not a new one. */
  const comeBack = async (): Promise<void> => {
    await page.evaluate('history.back(), null');
    // A page that comes back loads nothing.
    await page.waitForURL('**/one', { waitUntil: 'commit' });
    const isNew = await page.evaluate("typeof shows === 'undefined'");
    if (isNew === true) {
      const reasons = await page.evaluate(
        "performance.getEntriesByType('navigation')[0].notRestoredReasons.reasons.map(({ reason }) => reason)",
      );
      // Were it the page's fault, its name would be there.
      expect(reasons).toEqual(['masked']);
      throw new NotKept();
    }
    expect(await page.evaluate('shows')).toEqual([true]);
  };
  const queued = (): Promise<unknown> => page.evaluate('client.counters().queued');
  const arrived = (count: number): Promise<void> =>
    eventually(`${count} events`, () => collector.stored.length >= count);

  test(
    'keeps on sending, and sends nothing twice',
    withPage(async () => {
      await page.evaluate(`${track(5)} client.flush()`);
      await leave(track(10));
      await arrived(15);
      await comeBack();
      await page.evaluate(`${track(3)} null`);
      await arrived(18);
      expect(await page.evaluate('client.flush()')).toEqual({ pending: 0 });
      expect(await page.evaluate('client.counters()')).toMatchObject({ queued: 18, pending: 0, dropped: {} });
      expect(collector.stored).toHaveLength(18);
      expect(collector.duplicates()).toBe(0);
      await leave(track(1));
      await arrived(19);
    }),
  );

  /** The page is left with ten events that no attempt got through, and the next page takes them over. */
  const handOver = async (): Promise<void> => {
    collector.fault = () => ({ kind: 'answer', status: 503 });
    await leave(track(10));
  };

  test(
    'G2 G4 has lost nothing to the page that took over from it, and nothing is stored twice',
    withPage(async () => {
      await handOver();
      collector.fault = () => undefined;
      await begin();
      await arrived(10);
      // That they are stored the next page has to hear as well, else it hands them over in its turn.
      expect(await page.evaluate('client.flush()')).toEqual({ pending: 0 });
      await comeBack();
      await page.evaluate(`${track(1)} null`);
      await arrived(11);
      expect(await page.evaluate('client.flush()')).toEqual({ pending: 0 });
      expect(await page.evaluate('client.counters()')).toMatchObject({ queued: 11, pending: 0, dropped: {} });
      expect(new Set(collector.stored.map(({ id }) => id)).size).toBe(11);
      expect(collector.stored).toHaveLength(11);
    }),
  );

  test(
    'G2 stores nothing twice when it takes back what the other page had sent and heard nothing of',
    withPage(async () => {
      await handOver();
      let answer = (): void => {};
      const until = new Promise<void>((resolve) => (answer = resolve));
      collector.fault = () => ({ kind: 'late', until });
      await begin();
      await arrived(10);
      await comeBack();
      collector.fault = () => undefined;
      answer();
      await page.evaluate(`${track(1)} null`);
      await arrived(11);
      // What it had itself and what it took back.
      await eventually('all of it is back', async () => (await queued()) === 21);
      expect(await page.evaluate('client.flush()')).toEqual({ pending: 0 });
      expect(await page.evaluate('client.counters()')).toMatchObject({ pending: 0, dropped: {}, sent: 1 });
      expect(collector.stored).toHaveLength(11);
    }),
  );
});
