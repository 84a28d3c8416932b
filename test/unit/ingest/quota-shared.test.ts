import { describe, expect, test } from 'vitest';
import { createQuotas, type QuotaHolder } from '../../../collector/src/ingest/quota.ts';
import { createSharedQuotas, type SharedQuotas } from '../../../collector/src/ingest/quota-shared.ts';
import { createFakeClock } from '../../harness/clock.ts';

const holder: QuotaHolder = { keyId: 'key', eventsPerSecond: 100, bytesPerSecond: null };

/** Processes that tell each other, as long as they are connected. */
function makeProcesses(count: number, connected = true) {
  const clock = createFakeClock();
  let told = 0;
  const processes: SharedQuotas[] = Array.from({ length: count }, () => {
    const own: SharedQuotas = createSharedQuotas(createQuotas(clock), {
      every: clock.every,
      tell(taken) {
        told += 1;
        if (connected) for (const other of processes) if (other !== own) other.note(taken);
      },
    });
    return own;
  });
  return { clock, processes, told: () => told };
}

/** What passes when each of them is asked as often as it can be. */
async function passed(
  { clock, processes }: ReturnType<typeof makeProcesses>,
  seconds: number,
  asked: readonly number[],
  events = 10,
): Promise<number> {
  let sum = 0;
  for (let ms = 0; ms < seconds * 1_000; ms += 10) {
    for (const at of asked) {
      if (processes[at]?.refusal(holder, 'both') !== undefined) continue;
      processes[at]?.takeEvents(holder, events);
      sum += events;
    }
    await clock.advance(10);
  }
  return sum;
}

describe('a quota that several processes keep', () => {
  test('is one quota for all of them, and a sender that always meets the same one gets all of it', async () => {
    const all = await passed(makeProcesses(4), 60, [0, 1, 2, 3]);
    expect(all).toBeGreaterThanOrEqual(6_000);
    expect(all).toBeLessThanOrEqual(6_200);
    const one = await passed(makeProcesses(4), 60, [2]);
    expect(one).toBeGreaterThanOrEqual(6_000);
    expect(one).toBeLessThanOrEqual(6_200);
    // As it would be without the others' knowledge.
    expect(await passed(makeProcesses(4, false), 60, [0, 1, 2, 3])).toBeGreaterThan(20_000);
  });

  test('holds over time also when batches are larger than the quota', async () => {
    const all = await passed(makeProcesses(4), 600, [0, 1, 2, 3], 1_000);
    expect(all).toBeGreaterThanOrEqual(60_000);
    expect(all).toBeLessThanOrEqual(64_100);
  });

  test('is told of ten times a second at most, and not at all for keys without one', async () => {
    const processes = makeProcesses(2);
    const [one] = processes.processes;
    for (let ms = 0; ms < 1_000; ms += 10) {
      one?.takeEvents(holder, 1);
      one?.takeBytes({ ...holder, keyId: 'free', eventsPerSecond: null }, 1_000);
      await processes.clock.advance(10);
    }
    expect(processes.told()).toBeLessThanOrEqual(11);
    for (const each of processes.processes) each.stop();
    one?.takeEvents(holder, 1);
    await processes.clock.advance(1_000);
    expect(processes.told()).toBeLessThanOrEqual(11);
    expect(processes.clock.waiting()).toBe(0);
  });
});
