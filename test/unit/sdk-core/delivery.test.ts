import { createRoom, type KeptEvent, type Report } from '@tidemark/core';
import type { SentEvent } from '@tidemark/core/wire';
import { describe, expect, test } from 'vitest';
import { createRig, ok, problem } from './rig.ts';

const dayMs = 86_400_000;

describe('batches', () => {
  test('leave when the linger of the oldest event is over, and share a request', async () => {
    const rig = createRig({ lingerMs: 500 });
    rig.delivery.track('a');
    await rig.pass(400);
    rig.delivery.track('b');
    await rig.pass(99);
    expect(rig.attempts).toHaveLength(0);
    await rig.pass(1);
    expect(rig.attempts.map(({ events }) => events.map(({ name }) => name))).toEqual([['a', 'b']]);
  });

  test('leave at once when full, by count or by bytes', async () => {
    const byCount = createRig({ batchEventsMax: 3 });
    for (let index = 0; index < 7; index++) byCount.delivery.track('n');
    await byCount.pass(100);
    expect(byCount.attempts.map(({ events }) => events.length)).toEqual([3, 3]);

    const byBytes = createRig({ batchBytesMax: 1_000 });
    for (let index = 0; index < 3; index++) byBytes.delivery.track('n', { pad: 'x'.repeat(300) });
    await byBytes.pass(100);
    expect(byBytes.attempts.map(({ events }) => events.length)).toEqual([2]);
  });

  test('wait longer under pressure', async () => {
    const rig = createRig({ lingerMs: 100 });
    rig.answer = () => ok(rig.time, [], '0.75');
    rig.delivery.track('a');
    await rig.pass(1_000);
    rig.delivery.track('b');
    await rig.pass(449);
    expect(rig.attempts).toHaveLength(1);
    await rig.pass(1);
    expect(rig.attempts).toHaveLength(2);
  });

  test('are sent one at a time, in order', async () => {
    const rig = createRig({ batchEventsMax: 1, lingerMs: 0 });
    rig.wayMs = 50;
    for (const name of ['a', 'b', 'c']) rig.delivery.track(name);
    await rig.pass(1_000);
    expect(rig.attempts.map(({ at, events }) => [at, events[0]?.name])).toEqual([
      [100, 'a'],
      [200, 'b'],
      [300, 'c'],
    ]);
  });
});

describe('the clock', () => {
  test('is asked for within the first linger, and the first batch states the offset', async () => {
    const rig = createRig({ lingerMs: 500 }, {}, { offsetMs: -7_000 });
    rig.delivery.track('a');
    await rig.pass(0);
    expect(rig.probes).toEqual([0]);
    await rig.pass(600);
    expect(rig.attempts[0]?.clock).toEqual({ offsetMs: 7_000, rttMs: 20 });
    rig.delivery.track('b');
    await rig.pass(600);
    expect(rig.probes).toHaveLength(1);
  });

  test('is not asked for when a sample was brought along, nor when closing', async () => {
    const brought = createRig();
    brought.delivery.learn({ offsetMs: 3, rttMs: 4 });
    brought.delivery.track('a');
    await brought.pass(600);
    expect(brought.probes).toHaveLength(0);
    expect(brought.attempts[0]?.clock).toEqual({ offsetMs: 3, rttMs: 4 });

    const closing = createRig();
    closing.delivery.close();
    expect(closing.delivery.adopt([[7, '{}', 0]])).toEqual([]);
    expect(closing.probes).toHaveLength(0);
  });

  test('that cannot be had holds nothing back', async () => {
    const rig = createRig({ lingerMs: 500 });
    rig.answerTime = () => problem(404, 'not_found');
    rig.delivery.track('a');
    await rig.pass(520);
    expect(rig.attempts.map(({ clock }) => clock)).toEqual([undefined]);
    expect(rig.delivery.counters.sent).toBe(1);
  });

  test('is asked for anew when the clock has stepped', async () => {
    const rig = createRig({ lingerMs: 500 });
    rig.delivery.track('a');
    await rig.pass(1_000);
    rig.clocks.step(90_000);
    rig.delivery.track('b');
    await rig.pass(1_000);
    expect(rig.probes).toEqual([0, 1_000]);
    expect(rig.attempts[1]?.clock?.offsetMs).toBe(-90_000);
  });

  test('is asked for anew after a cut connection, and events from before a step back are restated by their age', async () => {
    const rig = createRig({ lingerMs: 500 });
    rig.delivery.track('first');
    await rig.pass(1_000);
    rig.answer = () => 'cut';
    rig.delivery.track('ours', {}, { id: 'a' });
    rig.delivery.track('given', {}, { id: 'b', occurredAt: '2026-01-01T00:00:00Z' });
    await rig.pass(5_000);
    rig.clocks.step(-3_600_000);
    rig.answer = () => ok(rig.time);
    await rig.pass(120_000);
    expect(rig.delivery.held.events).toBe(0);
    const last = rig.attempts.at(-1);
    const ageMs = Number(last?.at) - 1_000;
    expect(Date.parse(last?.sentAt ?? '') - Date.parse(last?.events[0]?.occurredAt ?? '')).toBe(ageMs);
    expect(last?.events[1]?.occurredAt).toBe('2026-01-01T00:00:00Z');
    expect(last?.clock?.offsetMs).toBe(3_600_000);
  });
});

describe('an attempt that fails', () => {
  test('is made again with the same bytes, a new sentAt, and growing waits', async () => {
    const rig = createRig({ retryDelayMs: 1_000 });
    rig.answer = (_, index) => (index < 4 ? 'cut' : ok(rig.time));
    rig.delivery.track('a', { n: 1 });
    await rig.pass(60_000);
    expect(new Set(rig.attempts.map(({ body }) => body)).size).toBe(1);
    expect(new Set(rig.attempts.map(({ sentAt }) => sentAt)).size).toBe(5);
    expect(rig.reports.map((report) => report.kind === 'delayed' && report.failures)).toEqual([1, 2, 3, 4]);
    expect(rig.delivery.counters).toMatchObject({ queued: 1, sent: 1 });
  });

  test.each([408, 425, 429, 500, 502, 503, 302, 204])('with %d is made again', async (status) => {
    const rig = createRig({ retryDelayMs: 10 });
    rig.answer = (_, index) => (index === 0 ? problem(status, 'x') : ok(rig.time));
    rig.delivery.track('a');
    await rig.pass(5_000);
    expect(rig.delivery.counters.sent).toBe(1);
  });

  test.each([401, 403])('with %d is made again a minute later: the key may be put right', async (status) => {
    const rig = createRig();
    rig.answer = (_, index) => (index < 2 ? problem(status, 'forbidden') : ok(rig.time));
    rig.delivery.track('a');
    await rig.pass(200_000);
    const [first, second, third] = rig.attempts.map(({ at }) => at);
    expect(Number(second) - Number(first)).toBeGreaterThanOrEqual(60_000);
    expect(Number(third) - Number(second)).toBeGreaterThanOrEqual(60_000);
    expect(rig.reports).toMatchObject([
      { kind: 'delayed', status, code: 'forbidden', message: 'it was forbidden' },
      { kind: 'delayed', status, failures: 2 },
    ]);
    expect(rig.delivery.counters).toMatchObject({ queued: 1, sent: 1, dropped: {} });
  });

  test.each([400, 404, 405, 415, 422])('G4 with %d loses its events, and tells', async (status) => {
    const rig = createRig({ batchEventsMax: 2 });
    rig.answer = (_, index) => (index === 0 ? problem(status, 'malformed') : ok(rig.time));
    for (const name of ['a', 'b', 'c']) rig.delivery.track(name);
    await rig.pass(2_000);
    expect(rig.delivery.counters).toMatchObject({ queued: 3, sent: 1, rejected: 2 });
    expect(rig.reports).toMatchObject([
      { kind: 'lost', reason: 'rejected', status, code: 'malformed', events: [{ name: 'a' }, { name: 'b' }] },
    ]);
  });
});

describe('an answer that cannot be read', () => {
  test.each(['code', 'detail', 'retryAfterMs'])(
    'for its %s counts as none, and what waits is sent',
    async (name) => {
      const rig = createRig();
      rig.answer = (_, index) =>
        index === 0
          ? { status: 503, body: JSON.stringify({ [name]: { toString: 1, valueOf: 1 } }) }
          : ok(rig.time);
      rig.delivery.track('a');
      await rig.pass(60_000);
      expect(rig.attempts).toHaveLength(2);
      expect(rig.delivery.counters).toMatchObject({ queued: 1, sent: 1, dropped: {} });
    },
  );
});

describe('what is too large', () => {
  test('is halved until it fits, without a wait, and in order', async () => {
    const rig = createRig({ batchEventsMax: 8 });
    rig.answer = ({ body }) =>
      body.split('"id"').length > 3 ? problem(413, 'batch_too_large') : ok(rig.time);
    for (let index = 0; index < 8; index++) rig.delivery.track(`${index}`);
    await rig.pass(300);
    const arrived = rig.attempts.filter(({ events }) => events.length <= 2).flatMap(({ events }) => events);
    expect(arrived.map(({ name }) => name)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
    expect(rig.delivery.counters.sent).toBe(8);
  });

  test('G4 alone is reported, and holds up nobody', async () => {
    const rig = createRig({ batchEventsMax: 4 });
    rig.answer = ({ body }) => (body.includes('huge') ? problem(413, 'body_too_large') : ok(rig.time));
    for (const name of ['a', 'huge', 'b', 'c']) rig.delivery.track(name);
    await rig.pass(1_000);
    expect(rig.delivery.counters).toMatchObject({ queued: 4, sent: 3, dropped: { too_large: 1 } });
    expect(rig.reports).toMatchObject([{ reason: 'too_large', status: 413, events: [{ name: 'huge' }] }]);
  });

  test('G4 for any event is told by track()', () => {
    const rig = createRig({ eventBytesMax: 500 });
    rig.delivery.track('a', { pad: '€'.repeat(200) });
    expect(rig.reports).toMatchObject([{ reason: 'too_large' }]);
  });
});

describe('old events', () => {
  test('G2 that were tried more than six days ago are not sent again; what was never tried lives 30 days', async () => {
    const rig = createRig({ batchEventsMax: 2, retryDelayMsMax: 60_000 });
    rig.answer = () => 'cut';
    rig.delivery.track('tried', {}, { id: 'tried' });
    await rig.pass(1_000);
    rig.delivery.track('waits', {}, { id: 'waits' });
    await rig.pass(6 * dayMs - 120_000);
    expect(rig.reports.filter(({ kind }) => kind === 'lost')).toEqual([]);
    const attemptsBefore = rig.attempts.length;
    await rig.pass(240_000);
    expect(rig.attempts.length).toBeGreaterThan(attemptsBefore);
    expect(rig.reports.filter(({ kind }) => kind === 'lost')).toMatchObject([
      { reason: 'expired', events: [{ id: 'tried' }] },
    ]);
    rig.answer = () => ok(rig.time);
    await rig.pass(120_000);
    expect(rig.delivery.counters).toMatchObject({ sent: 1, dropped: { expired: 1 } });
  });

  test('of an earlier run go by their age', async () => {
    const rig = createRig();
    const text = '{"occurredAt":"2025-12-01T00:00:00Z","id":"x","name":"n"}';
    const now = rig.time.trueMs();
    const kept: KeptEvent[] = [
      [90, text, now - 31 * dayMs],
      [91, text, now - 29 * dayMs],
      [92, text, now - 7 * dayMs, now - 7 * dayMs],
      [93, text, now - 7 * dayMs, now - 5 * dayMs],
    ];
    expect(rig.delivery.adopt(kept)).toEqual(kept.map(([, ...rest], sequence) => [sequence, ...rest]));
    await rig.pass(1_000);
    expect(rig.delivery.counters).toMatchObject({ queued: 4, sent: 2, dropped: { expired: 2 } });
  });

  test('that a sleep made too old are not sent again, though the monotonic clock knows nothing of it', async () => {
    const rig = createRig();
    rig.delivery.track('first');
    await rig.pass(1_000);
    rig.answer = () => 'cut';
    rig.delivery.track('tried');
    await rig.pass(1_000);
    rig.time.sleep(8 * dayMs);
    rig.answer = () => ok(rig.time);
    await rig.pass(60_000);
    expect(rig.delivery.counters).toMatchObject({ sent: 1, dropped: { expired: 1 } });
  });
});

describe('what was dropped', () => {
  test('G4 is told to the collector with the next batch, in the same way on every attempt, and once', async () => {
    const rig = createRig({ queueEventsMax: 2, lingerMs: 0 });
    for (let index = 0; index < 5; index++) rig.delivery.track('n');
    rig.delivery.track('x', { n: 1n });
    rig.answer = (_, index) => (index < 2 ? 'cut' : ok(rig.time));
    await rig.pass(60_000);
    rig.delivery.track('later');
    await rig.pass(1_000);
    const told = { queue_full: 3, invalid: 1 };
    expect(rig.attempts.map(({ dropped }) => dropped)).toEqual([told, told, told, undefined]);
  });

  test('G4 is told with another batch when the one that brought it is refused, and with the first half of one that is split', async () => {
    const rig = createRig({ queueEventsMax: 2, lingerMs: 0 });
    for (let index = 0; index < 3; index++) rig.delivery.track('n');
    rig.answer = (_, index) =>
      index === 0 ? problem(413, 'body_too_large') : index === 1 ? problem(400, 'malformed') : ok(rig.time);
    await rig.pass(1_000);
    rig.delivery.track('later');
    await rig.pass(1_000);
    const told = { queue_full: 1 };
    expect(rig.attempts.map(({ dropped }) => dropped)).toEqual([told, told, undefined, told]);
    expect(rig.delivery.counters).toMatchObject({ queued: 4, sent: 2, rejected: 1, dropped: told });
  });
});

describe('a full queue', () => {
  test('G5 drops the newest, or the oldest that waits, as it is told, and G4 reports each', async () => {
    const newest = createRig({ queueEventsMax: 2 });
    for (const name of ['a', 'b', 'c']) newest.delivery.track(name);
    expect(newest.reports).toMatchObject([{ reason: 'queue_full', events: [{ name: 'c' }] }]);

    const oldest = createRig({ queueEventsMax: 2, whenFull: 'dropOldest' });
    for (const name of ['a', 'b', 'c']) oldest.delivery.track(name);
    expect(oldest.reports).toMatchObject([{ reason: 'queue_full', events: [{ name: 'a' }] }]);
    await oldest.pass(1_000);
    expect(oldest.delivery.counters).toMatchObject({ queued: 3, sent: 2, dropped: { queue_full: 1 } });
  });

  test('G5 counts what is under way, by bytes too', async () => {
    const rig = createRig({ queueBytesMax: 1_000, lingerMs: 0 });
    rig.answer = () => 'cut';
    for (let index = 0; index < 20; index++) {
      rig.delivery.track('n', { pad: 'x'.repeat(100) });
      await rig.pass(50);
      expect(rig.delivery.held.bytes).toBeLessThanOrEqual(1_000);
    }
    expect(rig.delivery.counters.dropped.queue_full).toBeGreaterThan(10);
  });

  test('gives callers who can wait a promise before it is full, and lets them go on when there is room', async () => {
    const rig = createRig({ queueEventsMax: 16 }, { ended: () => room.look() });
    const room = createRoom(
      rig.delivery.held,
      { queueEventsMax: 16, queueBytesMax: 1e9 },
      30_000,
      rig.platform.after,
    );
    for (let index = 0; index < 13; index++) rig.delivery.track('n');
    expect(room.wait()).toBeUndefined();
    rig.delivery.track('n');
    const waiting = room.wait();
    expect(waiting).toBeDefined();
    expect(room.wait()).toBe(waiting);
    let goneOn = false;
    void waiting?.then(() => {
      goneOn = true;
    });
    await rig.pass(400);
    expect(goneOn).toBe(false);
    await rig.pass(200);
    expect(goneOn).toBe(true);
    expect(room.wait()).toBeUndefined();
  });

  test('does not hold callers for ever', async () => {
    const rig = createRig();
    const room = createRoom(
      { events: 10, bytes: 0 },
      { queueEventsMax: 10, queueBytesMax: 10 },
      30_000,
      rig.platform.after,
    );
    let goneOn = false;
    void room.wait()?.then(() => {
      goneOn = true;
    });
    await rig.pass(29_999);
    expect(goneOn).toBe(false);
    await rig.pass(1);
    expect(goneOn).toBe(true);
  });
});

describe('flush', () => {
  test('does not wait for the linger, and resolves when what was queued has met its end', async () => {
    const rig = createRig({ lingerMs: 10_000, batchEventsMax: 1 });
    rig.delivery.track('a');
    rig.delivery.track('b');
    let result: unknown;
    void rig.delivery.flush(5_000).then((value) => {
      result = value;
    });
    rig.delivery.track('later');
    // The time, then two batches.
    await rig.pass(59);
    expect(result).toBeUndefined();
    await rig.pass(1);
    expect(result).toEqual({ pending: 1 });
    await rig.pass(100);
    expect(await rig.delivery.flush(5_000)).toEqual({ pending: 0 });
  });

  test('gives up at its deadline, and never sends before a Retry-After is over', async () => {
    const rig = createRig({ lingerMs: 0 });
    rig.answer = () => problem(429, 'overloaded', { retryAfterMs: 8_000 });
    rig.delivery.track('a');
    await rig.pass(100);
    let result: unknown;
    void rig.delivery.flush(5_000).then((value) => {
      result = value;
    });
    await rig.pass(4_999);
    expect(result).toBeUndefined();
    await rig.pass(1);
    expect(result).toEqual({ pending: 1 });
    expect(rig.attempts).toHaveLength(1);
  });

  test('lets the linger return when it is over', async () => {
    const rig = createRig({ lingerMs: 1_000 });
    rig.delivery.track('a');
    void rig.delivery.flush(5_000);
    await rig.pass(100);
    rig.delivery.track('b');
    await rig.pass(900);
    expect(rig.attempts).toHaveLength(1);
  });
});

describe('the end', () => {
  test('G4 what is tracked after close() is lost and told; what was queued before is still sent', async () => {
    const rig = createRig({ lingerMs: 60_000 });
    rig.delivery.track('before');
    rig.delivery.close();
    rig.delivery.track('after');
    await rig.pass(100);
    expect(rig.delivery.counters).toMatchObject({ queued: 2, sent: 1, dropped: { closed: 1 } });
  });

  test('stop() hands over what has not met its end, in order, and ignores what still comes', async () => {
    const rig = createRig({ batchEventsMax: 2, lingerMs: 0 });
    for (const name of ['a', 'b', 'c']) rig.delivery.track(name);
    await rig.pass(25);
    const left = rig.delivery.stop();
    expect(left.map(({ json }) => (JSON.parse(json) as SentEvent).name)).toEqual(['a', 'b', 'c']);
    rig.delivery.lose('closed', left);
    await rig.pass(10_000);
    expect(rig.attempts).toHaveLength(1);
    expect(rig.delivery.counters).toMatchObject({ queued: 3, sent: 0, dropped: { closed: 3 } });
  });
});

describe('callbacks', () => {
  test('that throw or reject do no harm', async () => {
    let calls = 0;
    const rig = createRig({
      onReport() {
        if (++calls % 2 === 1) throw new Error('thrown by the application');
        return Promise.reject(new Error('rejected by the application'));
      },
    });
    rig.answer = (_, index) => (index < 4 ? 'cut' : ok(rig.time));
    rig.delivery.track('a');
    await rig.pass(60_000);
    expect(calls).toBe(4);
    expect(rig.delivery.counters.sent).toBe(1);
  });

  test('that track into a full queue do not recurse', async () => {
    const told: Report[] = [];
    const rig = createRig({
      queueEventsMax: 1,
      onReport(report) {
        told.push(report);
        if (told.length < 5) rig.delivery.track('about a loss');
      },
    });
    rig.delivery.track('fills the queue');
    rig.delivery.track('is lost');
    expect(told).toHaveLength(1);
    await rig.pass(10);
    expect(told).toHaveLength(5);
  });

  test('G4 are told of what cannot be turned into JSON', () => {
    const rig = createRig();
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    rig.delivery.track('cycle', cycle);
    rig.delivery.track('big', { n: 1n });
    rig.delivery.track(Symbol('name') as unknown as string);
    rig.delivery.track('options', {}, null as unknown as undefined);
    rig.delivery.track('date', {}, { occurredAt: new Date('never') });
    expect(rig.delivery.counters).toMatchObject({ queued: 5, dropped: { invalid: 5 } });
    expect(rig.reports.map((report) => report.kind === 'lost' && report.events[0]?.name)).toEqual([
      'cycle',
      'big',
      '',
      'options',
      'date',
    ]);
  });
});
