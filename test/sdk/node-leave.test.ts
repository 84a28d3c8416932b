// What becomes of queued events when a program ends: real processes, and real signals.

import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { type Ending, type Program, runProgram } from './run-program.ts';
import { type SmallCollector, startSmallCollector } from './small-collector.ts';

let collector: SmallCollector;

beforeEach(async () => {
  collector = await startSmallCollector();
});

afterEach(() => collector.close());

function run(ending: Ending, events: number, options: object = {}, pauseMs = 0): Program {
  const program = runProgram(ending, {
    events,
    pauseMs,
    options: { url: collector.url, key: 'k', ...options },
  });
  onTestFinished(() => program.kill('SIGKILL'));
  return program;
}

describe('a program that', () => {
  test('has nothing left to do sends what it queued before it ends', async () => {
    expect(await run('end', 300).ended).toMatchObject({ code: 0 });
    expect(collector.stored).toHaveLength(300);
  });

  test('waits for flush() stays alive until all has arrived', async () => {
    const program = run('flush', 300);
    expect(await program.ended).toMatchObject({ code: 0 });
    expect(program.output()).toContain('{"pending":0}');
    expect(collector.stored).toHaveLength(300);
  });

  test('is told to end by SIGTERM sends what it queued, and ends by that signal', async () => {
    const program = run('wait', 300, { lingerMs: 60_000, batchEventsMax: 1_000 });
    await program.ready();
    expect(collector.stored).toHaveLength(0);
    program.kill('SIGTERM');
    expect(await program.ended).toMatchObject({ code: 'SIGTERM' });
    expect(collector.stored).toHaveLength(300);
  });

  test('listens to SIGTERM itself ends when and how it wants to', async () => {
    const program = run('listen', 300, { lingerMs: 60_000, batchEventsMax: 1_000 });
    await program.ready();
    program.kill('SIGTERM');
    expect(await program.ended).toMatchObject({ code: 7 });
    expect(collector.stored).toHaveLength(300);
  });

  test('has workers: each of them sends what it queued before it ends', async () => {
    expect(await run('worker', 100).ended).toMatchObject({ code: 0 });
    expect(collector.stored.length + collector.duplicates()).toBe(200);
  });

  test.each(['end', 'flush', 'close'] as const)(
    'ends by %s while the collector does not answer is held up no longer than its deadline',
    async (ending) => {
      collector.fault = () => ({ kind: 'hang' });
      // A request would be waited for twice as long as this test may take.
      const program = run(ending, 10, { exitMs: 300, requestTimeoutMs: 60_000 });
      expect(await program.ended).toMatchObject({ code: 0 });
    },
  );

  test('is told to end twice does not wait any longer', async () => {
    collector.fault = () => ({ kind: 'hang' });
    const program = run('wait', 10, { exitMs: 600_000, requestTimeoutMs: 600_000 });
    await eventually('a request is under way', () => collector.requests.length > 0);
    await program.ready();
    program.kill('SIGTERM');
    program.kill('SIGINT');
    expect(await program.ended).toMatchObject({ code: expect.stringMatching(/^SIG(INT|TERM)$/) as string });
  });
});

test('G4 a program that ends without a spool says how many events it lost', async () => {
  await collector.down();
  const program = run('close', 25);
  await program.ended;
  expect(program.output()).toMatch(/"queued":25,.*"dropped":\{"closed":25\}/);
  expect(program.output()).toMatch(/TidemarkWarning: 25 events were lost: closed/);
});
