import type { BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, describe } from 'vitest';
import { type Chromium, findChromium, startChromium } from '../harness/chromium.ts';
import { describeSdk } from '../sdk/conformance.ts';
import { type Site, startSite } from './site.ts';

const program = await findChromium();

describe.skipIf(program === undefined)('in Chromium', () => {
  let chromium: Chromium;
  let site: Site;
  let context: BrowserContext;

  beforeAll(async () => {
    [chromium, site] = await Promise.all([startChromium(program ?? ''), startSite()]);
    ({ context } = chromium);
  });
  afterAll(async () => {
    await chromium?.close();
    await site?.close();
  });

  describeSdk('@tidemark/browser', async ({ clockAheadMs, ...options }) => {
    const page = await context.newPage();
    await page.addInitScript(`{ const now = Date.now; Date.now = () => now() + ${clockAheadMs}; }`);
    await page.goto(site.url);
    await page.evaluate(`client = tidemark.createClient(${JSON.stringify(options)}), null`);
    return {
      track: (events) =>
        page.evaluate(
          `for (const { name, props, id } of ${JSON.stringify(events)}) client.track(name, props, { id })`,
        ),
      flush: () => page.evaluate('client.flush()'),
      counters: () => page.evaluate('client.counters()'),
      close: () => page.close(),
    };
  });
});
