import { expect, test } from 'vitest';
import { type Fresh, freshen } from '../../bench/fresh.ts';
import { makeLoad } from '../../bench/load.ts';

interface Sent {
  readonly sentAt: string;
  readonly events: readonly { readonly id: string; readonly occurredAt: string; readonly props: object }[];
}

const startMs = Date.UTC(2026, 0, 31, 12);
const load = makeLoad({ batches: 2, eventsPerBatch: 50, startMs: 0 });
const read = (body: Buffer | undefined) => JSON.parse(String(body)) as Sent;

test.for<Fresh['ids']>(['ordered', 'random'])(
  'no two copies of a body have an id in common, and nothing but ids and times differs: %s',
  (ids) => {
    const copies = Array.from({ length: 20 }, (_, batch) =>
      load.bodies.map((body) => read(freshen(body, { ids, startMs }, batch))),
    ).flat();
    const found = copies.flatMap(({ events }) => events.map(({ id }) => id));
    expect(new Set(found).size).toBe(20 * load.events);
    const version = ids === 'ordered' ? 7 : 4;
    for (const id of found)
      expect(id).toMatch(
        new RegExp(`^[0-9a-f]{8}-[0-9a-f]{4}-${version}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`),
      );
    expect(copies.slice(0, 2).map(({ events }) => events.map(({ props }) => props))).toEqual(
      load.bodies.map((body) => read(body).events.map(({ props }) => props)),
    );
  },
);

test('its events happen in the second before it is sent, by the clock where no time is given', () => {
  const [body] = load.bodies;
  if (body === undefined) throw new Error('there is no body');
  const given = read(freshen(body, { ids: 'ordered', startMs }, 3));
  expect(Date.parse(given.sentAt)).toBe(startMs + 3);
  const times = given.events.map(({ occurredAt }) => Date.parse(occurredAt));
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(times[0]).toBe(startMs + 3 - 1_000);
  expect(times.at(-1)).toBeLessThan(startMs + 3);
  const before = Date.now();
  const now = Date.parse(read(freshen(body, { ids: 'ordered' }, 0)).sentAt);
  expect(now).toBeGreaterThanOrEqual(before);
  expect(now).toBeLessThanOrEqual(Date.now());
});
