/**
 * The fence, explored exhaustively: `model.ts` says what can happen, `invariants.ts` what must hold.
 * `FENCE_MODEL=long` adds the settings that take minutes and gigabytes.
 */
import { expect, test } from 'vitest';
import type { Exploration } from './explore.ts';
import { forgetful, mistakes } from './mistakes.ts';
import { rightRules } from './model.ts';
import type { Move } from './rules.ts';
import { describeTrace, exploreFence } from './run.ts';
import { longSettings, longSteadySettings, shortSettings, shortSteadySettings } from './settings.ts';
import { exploreSteady } from './steady.ts';

const long =
  process.env['FENCE_MODEL'] === 'long' ? { timeout: 3_600_000, statesMax: 16_000_000 } : undefined;
const { timeout, statesMax } = long ?? { timeout: 120_000, statesMax: 200_000 };

for (const { name, setting } of long ? [...shortSettings, ...longSettings] : shortSettings) {
  test(`G6 nothing ever appears below a watermark, and it never gets stuck: ${name}`, { timeout }, () => {
    expectNoViolation(name, exploreFence(setting, rightRules, statesMax));
  });
}

for (const { name, setting } of long
  ? [...shortSteadySettings, ...longSteadySettings]
  : shortSteadySettings) {
  test(`G9 the watermark follows the clock while appends always overlap: ${name}`, { timeout }, () => {
    expectNoViolation(name, exploreSteady(setting, rightRules, statesMax));
  });
}

test('the model finds that the watermark stands still when each tick captures anew', { timeout }, () => {
  const { violation } = exploreSteady(
    { writers: 2, advancers: 1, ageMax: 2, lagMax: 12 },
    forgetful,
    200_000,
  );
  expect(violation?.message).toBe('the watermark is 13 ticks behind');
});

for (const { name, rules, setting, finding } of mistakes) {
  test(`the model finds it when ${name}`, { timeout }, () => {
    const result = exploreFence(setting, rules, 200_000);
    expect(result.violation?.message).toMatch(finding);
    report(`${name}: ${result.violation?.message}`, result);
  });
}

test('the model finds nothing with the right rules in the settings of the mistakes', { timeout }, () => {
  for (const setting of new Set(mistakes.map((mistake) => mistake.setting))) {
    expectNoViolation('the setting of a mistake', exploreFence(setting, rightRules, 200_000));
  }
});

function expectNoViolation(name: string, result: Exploration<Move>): void {
  expect(result.violation && describeTrace(result.violation)).toBeUndefined();
  report(name, result);
}

function report(name: string, { states, moves, depth }: Exploration<Move>): void {
  console.info(`${name}: ${states} states, ${moves} moves, depth ${depth}`);
}
