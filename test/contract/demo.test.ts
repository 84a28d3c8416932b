import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClock } from '../../collector/src/clock.ts';
import { type Listener, listen } from '../../collector/src/http/serve.ts';
import { disorderOf } from '../demo/disorder.ts';
import { type Flight, inActualOrder, readFlights } from '../demo/flights.ts';
import { type DemoRun, runDemo, type Target } from '../demo/run.ts';
import { mistakesOf } from '../demo/verify.ts';
import { adminKey, readKey, startTestCollector, type TestCollector, writeKey } from '../harness/collector.ts';

let collector: TestCollector;
let listener: Listener;
let target: Target;
let flights: readonly Flight[];
let run: DemoRun;

beforeAll(async () => {
  collector = await startTestCollector();
  listener = await listen(collector.app, { host: '127.0.0.1', port: 0 }, createClock());
  target = {
    url: `http://127.0.0.1:${listener.port}`,
    keys: { write: writeKey, read: readKey, admin: adminKey },
    stream: 'flights',
  };
  flights = await readFlights();
  run = await runDemo(target, inActualOrder(flights));
});

afterAll(async () => {
  await listener.close(1_000);
  await collector.stop();
});

describe('20,000 flights', () => {
  test('G6 G7 sent in the order in which they came are read back each once, in the order of their plan', () => {
    expect(mistakesOf(flights, run)).toEqual([]);
    expect(run).toMatchObject({ again: false, accepted: 20_000, duplicates: 0 });
    expect(run.events.map(({ occurredAt }) => occurredAt)).toEqual(
      flights.map(({ scheduledAt }) => scheduledAt.replace('Z', '.000000Z')),
    );
  });

  test('come far out of order', () => {
    const { late, inversions } = disorderOf(inActualOrder(flights).map(({ scheduledMs }) => scheduledMs));
    expect(late).toBe(11_405);
    expect(inversions).toBe(49_698);
  });

  test('G2 are stored once when all of them are sent a second time', async () => {
    const second = await runDemo(target, inActualOrder(flights));
    expect(mistakesOf(flights, second)).toEqual([]);
    expect(second).toMatchObject({ again: true, accepted: 0, duplicates: 20_000 });
    expect(second.events).toEqual(run.events);
  });
});

describe('the demo finds out when', () => {
  const changed = (change: (events: DemoRun['events']) => DemoRun['events']): readonly string[] =>
    mistakesOf(flights, { ...run, events: change(run.events) });
  const swap = (events: DemoRun['events'], at: number) =>
    events.toSpliced(at, 2, ...events.slice(at, at + 2).toReversed());

  test('an event is missing', () => {
    expect(changed((events) => events.toSpliced(777, 1))).not.toEqual([]);
  });

  test('an event comes twice', () => {
    expect(
      changed((events) => events.toSpliced(777, 2, ...events.slice(777, 778), ...events.slice(777, 778))),
    ).not.toEqual([]);
  });

  test('two events change places, even where they are of the same minute', () => {
    const same = run.events.findIndex(({ orderTime }, at) => orderTime === run.events[at + 1]?.orderTime);
    expect(changed((events) => swap(events, 777))).not.toEqual([]);
    expect(changed((events) => swap(events, same))).not.toEqual([]);
  });

  test.each([{ late: true }, { orderTime: '2001-01-01T00:00:00.000000Z' }, { key: 'XXX' }, { props: null }])(
    'an event comes back with %j',
    (other) => {
      expect(
        changed((events) => events.map((event, at) => (at === 0 ? { ...event, ...other } : event))),
      ).not.toEqual([]);
    },
  );

  test('the client gave up events, or some were not accepted', () => {
    expect(mistakesOf(flights, { ...run, losses: ['3 lost: expired'] })).not.toEqual([]);
    expect(mistakesOf(flights, { ...run, accepted: 19_999 })).not.toEqual([]);
    expect(mistakesOf(flights, { ...run, accepted: 19_999, duplicates: 1 })).not.toEqual([]);
  });
});

describe('the disorder of a sequence', () => {
  test.each([
    { values: [], late: 0, inversions: 0 },
    { values: [1, 1, 2, 2, 3], late: 0, inversions: 0 },
    { values: [3, 2, 1], late: 2, inversions: 3 },
    { values: [1, 4, 2, 2, 5, 3], late: 3, inversions: 4 },
  ])('$values has $late late values and $inversions inversions', ({ values, late, inversions }) => {
    expect(disorderOf(values)).toEqual({ late, inversions });
  });
});
