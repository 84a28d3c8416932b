// Real input: earthquakes of a week, which were reported in another order than they happened in, counted by day and class of magnitude.

import type { Window, WindowsPage } from '@tidemark/core/wire';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { micros, totalsOfEvents, totalsOfWindows } from '../harness/batch-count.ts';
import { startTestCollector, type TestCollector } from '../harness/collector.ts';
import { eventually } from '../harness/eventually.ts';

interface Quake {
  readonly id: string;
  readonly properties: {
    readonly mag: number | null;
    readonly time: number;
    readonly updated: number;
    readonly place: string;
  };
}

let collector: TestCollector;

beforeAll(async () => {
  collector = await startTestCollector();
});

afterAll(() => collector.stop());

async function readQuakes(): Promise<readonly Quake[]> {
  const folder = join(createRequire(import.meta.url).resolve('vega-datasets'), '../../data');
  const { features } = JSON.parse(await readFile(join(folder, 'earthquakes.json'), 'utf8')) as {
    features: Quake[];
  };
  return features.toSorted((a, b) => a.properties.updated - b.properties.updated);
}

const classOf = (magnitude: number | null): string =>
  magnitude === null ? 'unknown' : magnitude < 2 ? 'micro' : magnitude < 4 ? 'minor' : 'felt';

async function send(stream: string, quakes: readonly Quake[]): Promise<void> {
  for (let from = 0; from < quakes.length; from += 500) {
    const events = quakes.slice(from, from + 500).map(({ id, properties: { mag, time, place } }) => ({
      id,
      stream,
      name: 'earthquake',
      occurredAt: new Date(time).toISOString(),
      props: { class: classOf(mag), magnitude: mag, place },
    }));
    const { accepted } = await collector.post(events, { clock: { offsetMs: 0, rttMs: 0 } });
    expect(accepted).toBe(events.length);
  }
}

async function put(stream: string, watermarkDelayMs: number): Promise<void> {
  const reply = await collector.request(`/v1/streams/${stream}`, {
    method: 'PUT',
    body: { watermarkDelayMs },
  });
  expect(reply.status).toBe(200);
}

async function readWindows(stream: string): Promise<readonly Window[]> {
  const windows: Window[] = [];
  for (let place = ''; ; ) {
    const path = `/v1/streams/${stream}/windows?size=1d&groupBy=props.class&sum=props.magnitude&limit=3${place}`;
    const page = (await (await collector.request(path)).json()) as WindowsPage;
    if (page.windows.length === 0) return windows;
    windows.push(...page.windows);
    place = `&cursor=${page.nextCursor}`;
  }
}

test('G11 earthquakes by day and class are what a batch counts, those that were reported late included', async () => {
  const quakes = await readQuakes();
  const outOfOrder = quakes.filter(
    ({ properties }, at) => properties.time < (quakes[at - 1]?.properties.time ?? 0),
  );
  expect(outOfOrder.length).toBeGreaterThan(100);
  await put('earthquakes', 10 * 366 * 86_400_000 * 2);
  // The last tenth arrives when the stream was read up to now: late.
  const late = Math.floor(quakes.length * 0.9);
  await send('earthquakes', quakes.slice(0, late));
  await put('earthquakes', 0);
  const before = BigInt(Date.now()) * 1_000n;
  await eventually('it is all readable', async () => {
    const { watermark } = await collector.read('earthquakes', 'from=latest');
    return micros(watermark) > before;
  });
  await send('earthquakes', quakes.slice(late));

  const windows = await readWindows('earthquakes');
  const through = micros(windows.at(-1)?.end ?? '');
  const events = (await collector.readAll('earthquakes', 'limit=1000')).filter(
    ({ orderTime }) => micros(orderTime) < through,
  );
  expect(events).toHaveLength(late);
  const totals = (of: typeof events) =>
    totalsOfEvents(
      of,
      86_400_000,
      ({ props }) => props?.['class'] as string,
      ({ props }) => Math.round(Number(props?.['magnitude'] ?? 0) * 100),
    );
  const rounded = [...totalsOfWindows(windows)].map(([key, { count, sum }]) => [
    key,
    { count, sum: Math.round(sum * 100) },
  ]);
  expect(new Map(rounded as never)).toEqual(totals(events));
  // By the day they happened on, from the source itself.
  const days = new Map<string, number>();
  for (const { properties } of quakes.slice(0, late)) {
    const key = `${Math.floor(properties.time / 86_400_000)} ${classOf(properties.mag)}`;
    days.set(key, (days.get(key) ?? 0) + 1);
  }
  expect([...totalsOfWindows(windows).values()].map(({ count }) => count).sort()).toEqual(
    [...days.values()].sort(),
  );
});
