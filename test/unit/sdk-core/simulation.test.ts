import { describe, expect, test } from 'vitest';
import { runSchedule } from './simulation/schedule.ts';

const seeds = Number(process.env['SIMULATION_SEEDS'] ?? 1_500);
const firstSeed = Number(process.env['SIMULATION_SEED'] ?? 1);

describe('the delivery engine', () => {
  test('G4 every event meets exactly one end, over thousands of lives in bad weather', {
    timeout: 300_000,
  }, async () => {
    const total = { events: 0, requests: 0, crashes: 0, ends: {} as Record<string, number> };
    const faults: string[] = [];
    for (let seed = firstSeed; seed < firstSeed + seeds && faults.length < 10; seed++) {
      const result = await runSchedule(seed);
      faults.push(...result.faults);
      total.events += result.events;
      total.requests += result.requests;
      total.crashes += result.crashes;
      for (const [end, count] of Object.entries(result.ends))
        total.ends[end] = (total.ends[end] ?? 0) + count;
    }
    console.log(`seeds ${firstSeed} to ${firstSeed + seeds - 1}: ${JSON.stringify(total)}`);
    expect(faults).toEqual([]);
  });
});
