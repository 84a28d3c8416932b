import { expect, test } from 'vitest';
import { createProgress } from '../../../../sdk-node/src/cli/progress.ts';

function terminal(isTerminal: boolean) {
  const drawn: string[] = [];
  const write = (text: string): Promise<void> => {
    drawn.push(text);
    return Promise.resolve();
  };
  return { drawn, output: { isTerminal, columns: 70, write } };
}

test('a bar shows how far an import is, five times a second at most, and fits the terminal', () => {
  const { drawn, output } = terminal(true);
  let nowMs = 0;
  const progress = createProgress(output, true, () => nowMs);
  const tally = { stored: 900, present: 100, bad: 2 };
  nowMs = 1_000;
  progress.show('a.csv', 50, 200, tally);
  nowMs = 1_100;
  progress.show('a.csv', 60, 200, tally);
  nowMs = 1_200;
  progress.show(`${'long'.repeat(30)}.csv`, 1_048_576, undefined, tally);
  progress.clear();
  expect(drawn).toEqual([
    '\r\u001B[K[#####...............] 25 %  900 stored, 100 there, 2 bad  1000/s  a.',
    expect.stringContaining('1.0 MiB  900 stored, 100 there, 2 bad  833/s  long'),
    '\r\u001B[K',
  ]);
  for (const one of drawn) expect(one.length - '\r\u001B[K'.length).toBeLessThan(70);
});

test('in a pipe, or where it is not wanted, there is none', () => {
  for (const { isTerminal, wanted } of [
    { isTerminal: false, wanted: true },
    { isTerminal: true, wanted: false },
  ]) {
    const { drawn, output } = terminal(isTerminal);
    const progress = createProgress(output, wanted, () => 5_000);
    progress.show('a.csv', 50, 200, { stored: 1, present: 0, bad: 0 });
    progress.clear();
    expect(drawn).toEqual([]);
  }
});
