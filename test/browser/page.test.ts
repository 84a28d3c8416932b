import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Chromium, findChromium, startChromium } from '../harness/chromium.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase } from '../harness/postgres.ts';
import { serveCollector, testKeys } from '../harness/served-collector.ts';
import { type SmallCollector, startSmallCollector } from '../sdk/small-collector.ts';
import { countStored, type Site, startSite } from './site.ts';

const program = await findChromium();

describe.skipIf(program === undefined)('in Chromium', () => {
  let chromium: Chromium;
  let site: Site;
  let context: BrowserContext;
  let collector: SmallCollector;
  let page: Page;

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
    page = await context.newPage();
  });
  afterEach(async () => {
    await page.close();
    await collector.close();
  });

  const options = (more: object = {}): string => JSON.stringify({ url: collector.url, key: 'k', ...more });
  const visit = async (more: object = {}): Promise<void> => {
    await page.goto(site.url);
    await page.evaluate(`client = tidemark.createClient(${options(more)}), null`);
  };
  const track = (count: number): string =>
    `for (let i = 0; i < ${count}; i++) client.track('tracked', { i });`;
  const arrived = (count: number): Promise<void> =>
    eventually(`${count} events`, () => collector.stored.length >= count);
  const posts = () => collector.requests.filter(({ path }) => path === '/v1/events');

  test('G1 G2 a page sends to a real collector without a preflight, plain and compressed, and all is stored', async () => {
    const database = await createTestDatabase();
    const real = await serveCollector(database.url);
    const ask = (path: string, key: string, init: RequestInit = {}) =>
      fetch(real.url + path, {
        ...init,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      });
    try {
      await ask('/v1/streams/default', testKeys.admin, { method: 'PUT', body: '{"watermarkDelayMs":0}' });
      await page.goto(site.url);
      const methods: string[] = [];
      page.on('request', (request) => methods.push(request.method()));
      await page.evaluate(
        `client = tidemark.createClient({ url: '${real.url}', key: '${testKeys.write}' }), null`,
      );
      await page.evaluate(`${track(1)} client.flush()`);
      await page.evaluate(`${track(1_000)} client.flush({ timeoutMs: 20000 })`);
      expect(await page.evaluate('client.counters()')).toMatchObject({
        sent: 1_001,
        duplicates: 0,
        pending: 0,
      });
      await eventually('all can be read', async () => {
        const answer = await ask('/v1/streams/default/events?limit=2000', testKeys.read);
        const { events } = (await answer.json()) as { events: { timeQuality: string }[] };
        return events.length === 1_001 && events.every(({ timeQuality }) => timeQuality === 'offset');
      });
      expect(new Set(methods)).toEqual(new Set(['GET', 'POST']));
    } finally {
      await real.stop();
      await database.drop();
    }
  });

  test('compresses a large batch, where it is not told otherwise', async () => {
    await visit();
    await page.evaluate(`${track(300)} client.flush()`);
    await visit({ gzip: false });
    await page.evaluate(`${track(300)} client.flush()`);
    const [packed, plain] = posts();
    expect(plain?.bodyBytes).toBeGreaterThan(4 * (packed?.bodyBytes ?? 0));
  });

  test('what is compressed is sent for a page that is gone, too', async () => {
    await page.addInitScript(
      "{ const send = fetch; keptAlive = []; fetch = (url, init) => (init.method === 'POST' && keptAlive.push(init.keepalive), send(url, init)); }",
    );
    await visit();
    await page.evaluate(`${track(300)} client.flush()`);
    expect(await page.evaluate('keptAlive')).toEqual([true]);
    expect(posts()[0]?.bodyBytes).toBeLessThan(20_000);
  });

  test('what is sent while a page is left outlives it, also beside a request that is under way', async () => {
    await page.addInitScript(
      "{ const send = fetch; keptAlive = []; fetch = (url, init) => (init.method === 'POST' && keptAlive.push(init.keepalive), send(url, init)); }",
    );
    collector.fault = () => ({ kind: 'hang' });
    await visit({ lingerMs: 0 });
    await page.evaluate(`${track(1)} null`);
    await eventually('the first is under way', () => posts().length === 1);
    await page.evaluate(`${track(1)} dispatchEvent(new Event('pagehide')); null`);
    await eventually('the second is, too', () => posts().length === 2);
    expect(await page.evaluate('keptAlive')).toEqual([true, true]);
  });

  test('no batch is larger than what is sent for a page that is gone', async () => {
    await visit({ gzip: false });
    await page.evaluate(`${track(2_000)} client.flush()`);
    await arrived(2_000);
    expect(Math.max(...posts().map(({ bodyBytes }) => bodyBytes))).toBeLessThanOrEqual(49_152);
  });

  test('nothing is taken, stored or sent without consent, and what waits is forgotten when it is withdrawn', async () => {
    await visit({ optedOut: true, lingerMs: 0 });
    await page.evaluate(`${track(10)} client.optIn(); ${track(5)} client.flush()`);
    await arrived(5);
    await collector.down();
    await page.evaluate(`${track(20)} dispatchEvent(new Event('pagehide')); null`);
    const items = `Object.keys(localStorage).filter((name) => name.includes('${collector.url}')).length`;
    expect(await page.evaluate(items)).toBeGreaterThan(0);
    await page.evaluate(`client.optOut(); ${track(7)} null`);
    expect(await page.evaluate(items)).toBe(0);
    expect(await page.evaluate('client.counters()')).toMatchObject({
      queued: 25,
      dropped: { opted_out: 20 },
    });
    await collector.up();
    await visit();
    await page.evaluate(`${track(1)} client.flush()`);
    expect(collector.stored).toHaveLength(6);
  });

  test('nothing on the device is looked at without consent', async () => {
    await page.addInitScript(`{
      looks = [];
      const looked = (what) => (_, at) => (looks.push([what, String(at)]), undefined);
      const nothing = new Proxy({}, { get: looked('get'), ownKeys: () => (looks.push(['keys']), []) });
      Object.defineProperty(window, 'localStorage', { value: nothing });
      const { open } = IDBFactory.prototype;
      IDBFactory.prototype.open = function (...given) { looks.push(['open']); return open.apply(this, given); };
    }`);
    await visit({ optedOut: true, lingerMs: 0 });
    await page.evaluate(`${track(3)} client.flush()`);
    expect(await page.evaluate('looks')).toEqual([]);
    await page.evaluate(`client.optIn(); ${track(2)} client.flush()`);
    expect(await page.evaluate('looks')).toContainEqual(['open']);
    expect(collector.stored).toHaveLength(2);
  });

  test.each([
    [
      'IndexedDB',
      "Object.defineProperty(window, 'indexedDB', { get() { throw new DOMException('no', 'SecurityError'); } });",
    ],
    [
      'localStorage',
      "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });",
    ],
    ['Web Locks', "Object.defineProperty(navigator, 'locks', { value: undefined });"],
    ['CompressionStream', 'delete window.CompressionStream;'],
  ])('G4 events survive a reload without %s', async (_, breakIt) => {
    await page.addInitScript(breakIt);
    await visit({ saveAfterMs: 0 });
    collector.fault = () => ({ kind: 'answer', status: 503 });
    await page.evaluate(`${track(100)} null`);
    await eventually('an attempt failed', () => posts().some(({ status }) => status === 503));
    await eventually(
      'all is stored',
      async () => Number(await page.evaluate(countStored(collector.url))) > 0,
    );
    await page.reload();
    collector.fault = () => undefined;
    await page.evaluate(`client = tidemark.createClient(${options()}), null`);
    await arrived(100);
    expect(collector.stored).toHaveLength(100);
  });

  test('with no storage at all a page sends what it has', async () => {
    await page.addInitScript(
      "delete window.indexedDB; Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });",
    );
    await visit({ saveAfterMs: 0 });
    let left = 2;
    collector.fault = () => (left-- > 0 ? { kind: 'answer', status: 503 } : undefined);
    await page.evaluate(`${track(10)} client.flush()`);
    expect(collector.stored).toHaveLength(10);
  });

  test('a web worker sends its events', async () => {
    await visit();
    const answer = `new Promise((done) => {
      const worker = new Worker('/worker.js');
      worker.onmessage = ({ data }) => done(data);
      worker.postMessage({ options: ${options()}, count: 10 });
    })`;
    expect(await page.evaluate(answer)).toEqual({ pending: 0 });
    expect(collector.stored).toHaveLength(10);
  });

  test('a service worker sends its events', async () => {
    await visit();
    await page.evaluate(`(async () => {
      await navigator.serviceWorker.register('/service-worker.js');
      const { active } = await navigator.serviceWorker.ready;
      active.postMessage({ options: ${options()}, count: 10 });
    })()`);
    await arrived(10);
    await page.evaluate('navigator.serviceWorker.ready.then((registration) => registration.unregister())');
  });

  test('track() touches no storage', async () => {
    await visit({ lingerMs: 60_000, saveAfterMs: 60_000 });
    const microseconds = Number(
      await page.evaluate(`{ const from = performance.now(); ${track(1_000)} performance.now() - from; }`),
    );
    console.log(`track(): ${microseconds.toFixed(2)} µs a call in the first thousand`);
    const items = `Object.keys(localStorage).filter((name) => name.includes('${collector.url}')).length`;
    expect(await page.evaluate(items)).toBe(0);
  });

  test('page views and outbound links are captured only where that is asked for', async () => {
    await visit({ lingerMs: 20 });
    await page.evaluate(`history.pushState({}, '', '/none'); null`);
    await page.evaluate(`stop = tidemark.captureAutomatically(client), null`);
    await page.evaluate(`history.pushState({}, '', '/second?token=secret#part'); null`);
    await page.evaluate(`history.replaceState({}, '', '/second?token=other'); null`);
    await page.evaluate(`history.back(); null`);
    await eventually('it is back', async () => (await page.evaluate('location.pathname')) === '/none');
    await page.evaluate(`addEventListener('click', (event) => event.preventDefault());
      document.getElementById('out').click(); document.getElementById('in').click(); null`);
    await arrived(4);
    await page.evaluate(`stop(); history.pushState({}, '', '/third'); client.flush()`);
    expect(collector.stored.map(({ name, props }) => [name, props?.['path'] ?? props?.['url']])).toEqual([
      ['page viewed', '/none'],
      ['page viewed', '/second'],
      ['page viewed', '/none'],
      ['outbound link clicked', 'http://elsewhere.test/page'],
    ]);
    expect(collector.stored[1]?.props?.['referrer']).toBe(`${site.url}/none`);
    expect(JSON.stringify(collector.stored)).not.toContain('secret');
  });

  describe('the lite client', () => {
    const visitLite = async (): Promise<void> => {
      await page.goto(site.url);
      await page.evaluate(
        `losses = [], client = lite.createLiteClient({ ...${options()}, onLoss: (...loss) => losses.push(loss) }), null`,
      );
    };

    test('has sent 100 events of a page that is left at once', async () => {
      await visitLite();
      await page.evaluate(`${track(100)} location.href = 'about:blank'; null`);
      // A page whose going is under way must not be closed: Chromium may never say that it is.
      await page.waitForURL('about:blank');
      await arrived(100);
    });

    test('G2 sends again what was answered 503 or got no answer, with the same ids and not before it may', async () => {
      let left = 2;
      let refusedAtMs = 0;
      collector.fault = () => {
        left--;
        if (left === 1) return { kind: 'cut', stored: true };
        refusedAtMs ||= performance.now();
        return left === 0 ? { kind: 'answer', status: 503, headers: { 'retry-after': '1' } } : undefined;
      };
      await visitLite();
      await page.evaluate(`${track(10)} client.flush()`);
      await eventually('three requests', () => posts().length === 3);
      expect(performance.now() - refusedAtMs).toBeGreaterThanOrEqual(1_000);
      expect([collector.stored.length, collector.duplicates()]).toEqual([10, 10]);
    });

    test('G4 halves what is too large, and tells what is lost', async () => {
      collector.fault = ({ events }) =>
        events.length > 3 || events.some(({ props }) => props?.['i'] === 5)
          ? { kind: 'answer', status: 413, body: { code: 'batch_too_large' } }
          : { kind: 'reject', ids: new Set(['bad']) };
      await visitLite();
      await page.evaluate(
        `${track(10)} client.track('bad', {}, { id: 'bad' }); client.track('x', { n: 1n }); null`,
      );
      await arrived(9);
      await eventually('all losses', async () => (await page.evaluate('losses.length')) === 3);
      expect(await page.evaluate('losses')).toEqual([
        ['invalid', 1],
        ['too_large', 1],
        ['rejected', 1],
      ]);
      await page.evaluate(`${track(1)} client.flush()`);
      const told = () => new Set(posts().flatMap(({ query }) => query.getAll('dropped')));
      await eventually('both losses are told', () => told().size === 2);
      expect(told()).toEqual(new Set(['{"invalid":1}', '{"too_large":1}']));
    });
  });
});
