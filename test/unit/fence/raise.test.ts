/** The raise by itself: the model lets the clock go wrong only a few times, here it goes on until all is well again. */
import { expect, test } from 'vitest';
import { type Fence, raiseFloor } from './functions.ts';

const second = 1_000_000;
const limits = { jump: 60 * second, passed: 2 * second };

test('G9 after the clock is set back an hour the floor goes on at half its pace, until the clock is where it was', () => {
  const floors = raisedFor({ hours: 2, clockIsOff: -3_600 * second, witnessIsOff: -3_600 * second });
  // The first raise cannot know how much time has passed.
  expect(floors.at(3_600)).toBe(start + 1_799.5 * second);
  expect(floors.findIndex((floor, raise) => floor === start - 3_600 * second + raise * second)).toBe(7_198);
});

test('G9 a jump of the clock that the witness contradicts is caught up at twice its pace', () => {
  const floors = raisedFor({ hours: 2, clockIsOff: 3_600 * second, witnessIsOff: 0 });
  expect(floors.at(1)).toBeLessThanOrEqual(start + 2 * limits.passed);
  expect(
    floors.findIndex((floor, raise) => floor === start + 3_600 * second + raise * second),
  ).toBeGreaterThan(3_500);
  expect(floors.at(-1)).toBe(start + 3 * 3_600 * second);
});

test('G9 a jump of the clock that the witness confirms is taken at once', () => {
  const floors = raisedFor({ hours: 1, clockIsOff: 3_600 * second, witnessIsOff: 3_600 * second });
  expect(floors.at(1)).toBe(start + 3_601 * second);
});

const start = 1_700_000_000 * second;

/** A raise each second: the floors, the first of which is from before the clock went wrong. */
function raisedFor(course: { hours: number; clockIsOff: number; witnessIsOff: number }): number[] {
  let fence: Fence = { floor: start, published: start, lastClock: start };
  const floors = [fence.floor];
  for (let passed = second; passed <= course.hours * 3_600 * second; passed += second) {
    const next = raiseFloor(
      fence,
      start + passed + course.clockIsOff,
      start + passed + course.witnessIsOff,
      limits,
    );
    expect(next.floor).toBeGreaterThanOrEqual(fence.floor);
    fence = next;
    floors.push(fence.floor);
  }
  return floors;
}
