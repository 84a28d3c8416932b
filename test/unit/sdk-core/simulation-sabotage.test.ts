import { afterEach, describe, expect, test, vi } from 'vitest';
import type * as Backoff from '../../../sdk-core/src/backoff.ts';
import type * as Batch from '../../../sdk-core/src/batch.ts';
import type * as Clock from '../../../sdk-core/src/clock.ts';
import type * as Outcome from '../../../sdk-core/src/outcome.ts';
import type * as Serialise from '../../../sdk-core/src/serialise.ts';
import { runSchedule, type Sabotage } from './simulation/schedule.ts';

/** The checker is worth something only if it sees what is wrong: each known mistake is put in, and must be caught. */
describe('the simulation catches', () => {
  afterEach(() => {
    vi.doUnmock('../../../sdk-core/src/backoff.ts');
    vi.doUnmock('../../../sdk-core/src/batch.ts');
    vi.doUnmock('../../../sdk-core/src/clock.ts');
    vi.doUnmock('../../../sdk-core/src/outcome.ts');
    vi.doUnmock('../../../sdk-core/src/serialise.ts');
    vi.resetModules();
  });

  test('an engine that does not heed Retry-After', async () => {
    vi.doMock(import('../../../sdk-core/src/backoff.ts'), async (original) => ({
      ...(await original<typeof Backoff>()),
      retryAfterMs: () => 0,
    }));
    await expectCaught(/too early/, await broken());
  });

  test('an engine that loses an event when it halves a batch', async () => {
    vi.doMock(import('../../../sdk-core/src/batch.ts'), async (original) => {
      const real = await original<typeof Batch>();
      const halve: typeof real.halve = (batch) => {
        const [first, second] = real.halve(batch);
        return [
          { order: 0, bytes: 0, members: first?.members.slice(1) ?? [] },
          second ?? { order: 0, bytes: 0, members: [] },
        ];
      };
      return { ...real, halve };
    });
    await expectCaught(/met no end|never met their end|pending/, await broken());
  });

  test('an engine that takes any 200 for an acknowledgement', async () => {
    vi.doMock(import('../../../sdk-core/src/outcome.ts'), async (original) => {
      const real = await original<typeof Outcome>();
      const judge: typeof real.judge = (reply, nowMs) =>
        reply?.status === 200 && !reply.body.startsWith('{') ? { results: [] } : real.judge(reply, nowMs);
      return { ...real, judge };
    });
    await expectCaught(/neither stored nor reported/, await broken());
  });

  test('an engine that stamps sentAt once and not for each attempt', async () => {
    vi.doMock(import('../../../sdk-core/src/clock.ts'), async (original) => {
      const real = await original<typeof Clock>();
      const createClock: typeof real.createClock = (platform) => {
        const clock = real.createClock(platform);
        const first = new Date(clock.now()).toISOString();
        return { ...clock, measure: (request) => clock.measure(() => request(first)) };
      };
      return { ...real, createClock };
    });
    await expectCaught(/sentAt is stale/, await broken());
  });

  test('an engine that restates a time the caller gave', async () => {
    vi.doMock(import('../../../sdk-core/src/serialise.ts'), async (original) => {
      const real = await original<typeof Serialise>();
      const restate: typeof real.restate = (event, clock) => real.restate({ ...event, stamped: true }, clock);
      return { ...real, restate };
    });
    await expectCaught(/caller's time/, await broken());
  });

  test('a platform that sends the body of another batch', async () => {
    let last = '{"events":[]}';
    const platform: Sabotage['platform'] = (honest) => ({
      ...honest,
      encode(events) {
        const given = last;
        last = `{"events":[${events.join()}]}`;
        return given;
      },
    });
    await expectCaught(/neither stored nor reported|never tracked/, { platform });
  });

  test('a platform whose monotonic clock runs away', async () => {
    const platform: Sabotage['platform'] = (honest) => ({
      ...honest,
      monotonic: () => honest.monotonic() * 3,
    });
    await expectCaught(/too early/, { platform });
  });

  test('a platform whose requests never settle', async () => {
    const platform: Sabotage['platform'] = (honest) => ({
      ...honest,
      send: (attempt) => honest.send(attempt).catch(() => new Promise(() => {})),
    });
    await expectCaught(/never met their end/, { platform });
  });

  test('a store that says it has kept what it has not', async () => {
    await expectCaught(/a crash lost/, { kept: (events) => events.slice(1) });
  });
});

async function broken(): Promise<Sabotage> {
  vi.resetModules();
  const { createDelivery } = await import('../../../sdk-core/src/delivery.ts');
  return { createDelivery };
}

async function expectCaught(as: RegExp, sabotage: Sabotage): Promise<void> {
  const faults: string[] = [];
  for (let seed = 1; seed <= 300 && !faults.some((fault) => as.test(fault)); seed++) {
    faults.push(...(await runSchedule(seed, sabotage)).faults);
  }
  expect(faults).toContainEqual(expect.stringMatching(as));
}
