import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Chromium, findChromium, startChromium } from '../harness/chromium.ts';
import { eventually } from '../harness/eventually.ts';
import { type SmallCollector, startSmallCollector } from '../sdk/small-collector.ts';
import { countStored, type Site, startSite } from './site.ts';

const program = await findChromium();

describe.skipIf(program === undefined)('in Chromium a page', () => {
  let chromium: Chromium;
  let site: Site;
  let context: BrowserContext;
  let collector: SmallCollector;

  beforeAll(async () => {
    [chromium, site] = await Promise.all([startChromium(program ?? ''), startSite()]);
    ({ context } = chromium);
    // Without a page the browser would end.
    await context.newPage();
  });
  afterAll(async () => {
    await chromium?.close();
    await site?.close();
  });
  beforeEach(async () => {
    collector = await startSmallCollector();
  });
  afterEach(async () => {
    await context.setOffline(false);
    await Promise.all(
      context
        .pages()
        .slice(1)
        .map((page) => page.close()),
    );
    await collector.close();
  });

  const open = async (options: object = {}): Promise<Page> => {
    const page = await context.newPage();
    await page.goto(`${site.url}/shop`);
    await visit(page, options);
    return page;
  };
  const visit = (page: Page, options: object = {}): Promise<unknown> =>
    page.evaluate(
      `client = tidemark.createClient(${JSON.stringify({ url: collector.url, key: 'k', ...options })}), null`,
    );
  /** `count` events, of about `bytes` each. */
  const track = (count: number, bytes = 0): string =>
    `for (let i = 0; i < ${count}; i++) client.track('tracked', { i, filler: 'x'.repeat(${bytes}) });`;
  const arrived = (count: number, deadlineMs = 10_000): Promise<void> =>
    eventually(
      `${count} events, not ${collector.stored.length}`,
      () => collector.stored.length >= count,
      deadlineMs,
    );
  /** Does `work` and goes elsewhere in the same task. A page whose going is under way must not be closed: Chromium may never say that it is. */
  const leave = async (page: Page, work: string): Promise<void> => {
    await page.evaluate(`${work} location.href = 'about:blank'; null`);
    await page.waitForURL('about:blank');
  };
  const posts = () => collector.requests.filter(({ path }) => path === '/v1/events');
  const isHidden = (page: Page, hidden: boolean): Promise<unknown> =>
    page.evaluate(
      `Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true }),
       dispatchEvent(new Event('visibilitychange')), null`,
    );

  test('that is left at once has sent its 100 events, without the visitor coming back', async () => {
    const page = await open();
    await leave(page, track(100, 100));
    await arrived(100);
    expect(collector.stored.map(({ props }) => props?.['i'])).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  test('that is left at once has sent its 100 events also where only a beacon outlives it', async () => {
    const page = await context.newPage();
    await page.addInitScript(
      'delete Request.prototype.keepalive; delete window.fetch; window.fetch = () => new Promise(() => {});',
    );
    await page.goto(`${site.url}/shop`);
    await visit(page);
    await leave(page, track(100, 100));
    await arrived(100);
  });

  test('that is closed at once has sent its 100 events', async () => {
    const page = await open();
    await page.evaluate(`${track(100, 100)} null`);
    await page.close({ runBeforeUnload: true });
    await arrived(100);
  });

  test('G2 G4 that is left with 500 kB queued loses none: the next one sends what did not fit, and nothing is stored twice', async () => {
    const page = await open();
    await page.evaluate(`${track(1_000, 400)} location.href = '/next'; null`);
    await page.waitForURL('**/next');
    await visit(page);
    await arrived(1_000);
    expect(new Set(collector.stored.map(({ id }) => id)).size).toBe(1_000);
  });

  test('that is offline for 3 s sends everything once it is online', async () => {
    const page = await open();
    await context.setOffline(true);
    await page.evaluate(`${track(50)} null`);
    await page.waitForTimeout(3_000);
    expect(collector.stored).toHaveLength(0);
    await context.setOffline(false);
    await arrived(50);
    expect(collector.duplicates()).toBe(0);
  });

  test('that is closed while it is offline leaves its events to the next visit', async () => {
    const page = await open();
    await context.setOffline(true);
    await page.evaluate(`${track(100)} null`);
    await page.close({ runBeforeUnload: true });
    await eventually('the page is closed', () => page.isClosed());
    await context.setOffline(false);
    await open();
    await arrived(100);
    expect(collector.duplicates()).toBe(0);
  });

  test('takes over from two that were closed offline, all at once', async () => {
    const pages = [await open(), await open()];
    await context.setOffline(true);
    for (const page of pages) await page.evaluate(`${track(100)} null`);
    for (const page of pages) await page.close({ runBeforeUnload: true });
    await eventually('both are closed', () => pages.every((page) => page.isClosed()));
    await context.setOffline(false);
    await open();
    await arrived(200);
    expect(collector.duplicates()).toBe(0);
  });

  test.each([
    ['is closed', (page: Page) => page.close({ runBeforeUnload: true })],
    ['crashes', (page: Page) => page.goto('chrome://crash').catch(() => undefined)],
  ])('takes over from one that %s while it is open itself', async (_, end) => {
    await open();
    const other = await open({ saveAfterMs: 0, retryDelayMs: 1e6, retryDelayMsMax: 1e6 });
    collector.fault = () => ({ kind: 'answer', status: 503 });
    await other.evaluate(`${track(100)} null`);
    await eventually(
      'it is stored',
      async () => Number(await other.evaluate(countStored(collector.url))) === 100,
    );
    await eventually('an attempt failed', () => posts().length > 0);
    collector.fault = () => undefined;
    await end(other);
    await arrived(100);
  });

  test('shares the store with another without sending for it', async () => {
    const [page, other] = [await open({ saveAfterMs: 0 }), await open({ saveAfterMs: 0 })];
    collector.fault = () => ({ kind: 'answer', status: 503 });
    await page.evaluate(`${track(20)} null`);
    await other.evaluate(`${track(20)} null`);
    await eventually(
      'both have failed',
      () => new Set(posts().map(({ events }) => events[0]?.id)).size === 2,
    );
    await visit(await context.newPage().then(async (third) => (await third.goto(site.url), third)));
    // Going online is no reason to let go of what is one's own.
    for (const tab of [page, other]) await tab.evaluate("dispatchEvent(new Event('online')), null");
    collector.fault = () => undefined;
    await arrived(40);
    await eventually('all is acknowledged', async () => (await pending(page)) + (await pending(other)) === 0);
    expect(collector.duplicates()).toBe(0);
  });

  test('without Web Locks takes what it finds when it is opened, and nothing from those that are open', async () => {
    const openUnlocked = async (): Promise<Page> => {
      const page = await context.newPage();
      await page.addInitScript("Object.defineProperty(navigator, 'locks', { value: undefined });");
      await page.goto(`${site.url}/shop`);
      await visit(page, { saveAfterMs: 0, retryDelayMs: 1e6, retryDelayMsMax: 1e6 });
      return page;
    };
    const [page, other] = [await openUnlocked(), await openUnlocked()];
    collector.fault = () => ({ kind: 'answer', status: 503 });
    await page.evaluate(`${track(20)} null`);
    await eventually('it is stored', async () => (await page.evaluate(countStored(collector.url))) === 20);
    collector.fault = () => undefined;
    for (const event of ['online', 'pageshow'])
      await other.evaluate(`dispatchEvent(new Event('${event}')), null`);
    expect(await other.evaluate('client.flush()')).toEqual({ pending: 0 });
    expect(await other.evaluate('client.counters()')).toMatchObject({ queued: 0 });
    await openUnlocked();
    await arrived(20);
  });

  const pending = async (page: Page): Promise<number> =>
    Number(await page.evaluate('client.counters().pending'));

  test('asks no more often than it must while it is answered 429 for 5 s', async () => {
    const refusedUntil = performance.now() + 5_000;
    const early: number[] = [];
    let notBefore = 0;
    collector.fault = () => {
      const now = performance.now();
      if (now < notBefore) early.push(notBefore - now);
      if (now > refusedUntil) return undefined;
      notBefore = now + 2_000;
      return { kind: 'answer', status: 429, headers: { 'retry-after': '2' } };
    };
    const page = await open();
    for (let round = 0; round < 5; round++) await page.evaluate(`${track(20)} null`);
    await arrived(100, 20_000);
    expect(early).toEqual([]);
    expect(posts().filter(({ status }) => status === 429).length).toBeLessThanOrEqual(4);
    expect(posts().length).toBeLessThanOrEqual(6);
  });

  test('whose collector is down over a reload sends everything when it is back', async () => {
    const page = await open();
    await collector.down();
    await page.evaluate(`${track(100)} null`);
    await page.reload();
    await visit(page);
    await page.evaluate(`${track(100)} null`);
    await collector.up();
    await arrived(200, 20_000);
    expect(collector.duplicates()).toBe(0);
  });

  test('that crashes has lost nothing that failed before', async () => {
    const page = await open({ saveAfterMs: 0 });
    await collector.down();
    await page.evaluate(`${track(100)} null`);
    await eventually(
      'it is stored',
      async () => Number(await page.evaluate(countStored(collector.url))) === 100,
    );
    const crashed = page.waitForEvent('crash');
    await Promise.all([crashed, page.goto('chrome://crash').catch(() => undefined)]);
    await collector.up();
    await open();
    await arrived(100);
  });

  test('leaves nothing behind on the device once everything has arrived', async () => {
    const page = await open({ saveAfterMs: 0 });
    collector.fault = ({ at }) =>
      at < Date.now() && posts().length < 3 ? { kind: 'answer', status: 503 } : undefined;
    await page.evaluate(`${track(100)} null`);
    await isHidden(page, true);
    await isHidden(page, false);
    await arrived(100);
    await eventually('nothing is left', async () => (await page.evaluate(countStored(collector.url))) === 0);
  });

  test('that is switched away and back sends nothing again', async () => {
    const page = await open();
    await page.evaluate(`${track(30)} null`);
    await isHidden(page, true);
    await isHidden(page, false);
    await isHidden(page, true);
    await arrived(30);
    await isHidden(page, false);
    expect(await page.evaluate('client.flush()')).toEqual({ pending: 0 });
    expect(collector.duplicates()).toBe(0);
    expect(posts()).toHaveLength(1);
  });

  test('whose clock is set back by an hour states when its events really happened', async () => {
    const page = await open({ lingerMs: 200 });
    collector.fault = () => ({ kind: 'answer', status: 503 });
    await page.evaluate(`${track(10)} null`);
    await eventually('an attempt failed', () => posts().length > 0);
    await page.evaluate('{ const now = Date.now; Date.now = () => now() - 3600000; } null');
    collector.fault = () => undefined;
    await page.evaluate(`${track(10)} null`);
    await arrived(20);
    for (const { occurredAt } of collector.stored) {
      expect(Math.abs(Date.now() - 3_600_000 - Date.parse(occurredAt ?? ''))).toBeLessThan(30_000);
    }
    expect(collector.duplicates()).toBe(0);
  });
});
