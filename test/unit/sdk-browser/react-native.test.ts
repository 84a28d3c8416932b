import { type AppOptions, createClient } from '@tidemark/browser/react-native';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { eventually } from '../../harness/eventually.ts';
import { type SmallCollector, startSmallCollector } from '../../sdk/small-collector.ts';

// Node has no document, no localStorage and no IndexedDB: neither has React Native.

let collector: SmallCollector;
beforeEach(async () => {
  collector = await startSmallCollector();
});
afterEach(() => collector.close());

/** A phone: what is stored stays while apps come and go. */
function createPhone() {
  const items = new Map<string, string>();
  const listeners = new Set<(state: string) => void>();
  return {
    items,
    state: (state: string) => listeners.forEach((listener) => listener(state)),
    storage: {
      getItem: (key: string) => Promise.resolve(items.get(key) ?? null),
      setItem: (key: string, value: string) => Promise.resolve(items.set(key, value)),
      removeItem: (key: string) => Promise.resolve(items.delete(key)),
    },
    appState: {
      addEventListener: (_: 'change', listener: (state: string) => void) => {
        listeners.add(listener);
        return { remove: () => listeners.delete(listener) };
      },
    },
  };
}

function start(options: Partial<AppOptions>) {
  const client = createClient({ url: collector.url, key: 'k', lingerMs: 10, ...options });
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  return client;
}

test('an app sends its events without a DOM', async () => {
  const client = start({});
  client.track('opened', { screen: 'home' });
  expect(await client.flush()).toEqual({ pending: 0 });
  expect(collector.stored).toMatchObject([{ name: 'opened', props: { screen: 'home' } }]);
});

test('an app that goes to the background sends at once what lingers', async () => {
  const { appState, state, storage } = createPhone();
  const client = start({ appState, storage, lingerMs: 60_000 });
  client.track('opened');
  state('background');
  await eventually('it has arrived', () => collector.stored.length === 1);
});

test('an app that goes to the background sends also where there is neither keepalive nor a beacon', async () => {
  const keepalive = Object.getOwnPropertyDescriptor(Request.prototype, 'keepalive');
  Reflect.deleteProperty(Request.prototype, 'keepalive');
  vi.stubGlobal('navigator', { product: 'ReactNative' });
  onTestFinished(() => {
    vi.unstubAllGlobals();
    Object.defineProperty(Request.prototype, 'keepalive', keepalive ?? {});
  });
  const { appState, state } = createPhone();
  const reports: string[] = [];
  const client = start({ appState, lingerMs: 60_000, onReport: ({ kind }) => reports.push(kind) });
  client.track('opened');
  state('background');
  await eventually('it has arrived', () => collector.stored.length === 1);
  expect(reports).toEqual([]);
});

test('what an app could not send before it was killed is sent by its next run, once', async () => {
  const { appState, state, storage, items } = createPhone();
  await collector.down();
  // It is never closed: the system has killed it. Its timers go on here, and must not reach anybody.
  const killed = createClient({
    url: collector.url,
    key: 'k',
    appState,
    storage,
    retryDelayMs: 1e8,
    retryDelayMsMax: 1e8,
  });
  for (let i = 0; i < 100; i++) killed.track('tracked', { i });
  state('background');
  await eventually(
    'all is stored',
    () => ([...items.values()].join().match(/tracked/g) ?? []).length === 100,
  );
  await collector.up();
  const next = start({ appState: createPhone().appState, storage });
  await eventually('all has arrived', () => collector.stored.length === 100);
  await eventually('nothing is left behind', () => items.size === 0 && next.counters().pending === 0);
  expect(collector.stored.map(({ props }) => props?.['i'])).toEqual(Array.from({ length: 100 }, (_, i) => i));
  await killed.close({ timeoutMs: 0 });
});

test('what an earlier run left stays where this one has no room for it', async () => {
  const { storage, items } = createPhone();
  items.set(
    `tidemark k ${collector.url}`,
    JSON.stringify([0, 1, 2].map((i) => [i, `{"id":"${i}","name":"old"}`, Date.now()])),
  );
  start({ storage, queueEventsMax: 2 });
  await eventually('two have arrived', () => collector.stored.length === 2);
  await eventually('one is left', () => /^\[\[-1,[^[]*\]\]$/.test([...items.values()].join()));
  start({ storage });
  await eventually('the third has arrived', () => collector.stored.length === 3);
});

test('withdrawn consent forgets what is stored', async () => {
  const { storage, items } = createPhone();
  await collector.down();
  const client = start({ storage, saveAfterMs: 0 });
  client.track('tracked');
  await eventually('it is stored', () => items.size === 1);
  client.optOut();
  await eventually('it is forgotten', () => items.size === 0);
  client.track('ignored');
  expect(client.counters()).toMatchObject({ queued: 1, dropped: { opted_out: 1 }, pending: 0 });
});

test('storage that fails is told of, and events are sent all the same', async () => {
  const reports: string[] = [];
  await collector.down();
  const broken = { ...createPhone().storage, setItem: () => Promise.reject(new Error('disk full')) };
  const client = start({
    storage: broken,
    saveAfterMs: 0,
    retryDelayMs: 10,
    onReport: ({ kind }) => reports.push(kind),
  });
  client.track('tracked');
  await eventually('it is told', () => reports.includes('unsaved'));
  await collector.up();
  await eventually('it has arrived', () => collector.stored.length === 1);
});
