import { describe, expect, test } from 'vitest';
import {
  createDeadLetterQueue,
  type DeadLetterQueueOptions,
  type LetterLoss,
} from '../../../collector/src/ingest/dead-letter-queue.ts';
import type { DeadLetter } from '../../../collector/src/store/dead-letters.ts';
import type { Failure } from '../../../collector/src/store/failure.ts';

const letter = (raw: string): DeadLetter => ({
  code: 'invalid_json',
  message: 'it is no JSON',
  stream: null,
  eventId: null,
  key: null,
  keyId: 'key',
  receivedAt: 0n,
  sentAt: null,
  offsetMicros: null,
  rttMs: null,
  cloudEvent: false,
  raw,
  truncated: false,
});

class Failed extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure);
    this.failure = failure;
  }
}

const nothingDropped: (raws: readonly string[]) => number = () => 0;

/** A store that does as it is told, and a clock that passes when the test says so. */
function createRig(options: Partial<DeadLetterQueueOptions> = {}) {
  const statements: string[][] = [];
  const dropped: [LetterLoss, number][] = [];
  const sleepers: { readonly ms: number; readonly wake: () => void }[] = [];
  const state = { failures: 0, answer: nothingDropped };
  const queue = createDeadLetterQueue(
    {
      async store(letters) {
        const raws = letters.map(({ raw }) => raw);
        const count = state.answer(raws);
        statements.push(raws);
        return count;
      },
      failureOf: (error) => (error instanceof Failed ? error.failure : 'broken'),
      onDropped: (reason, letters) => dropped.push([reason, letters]),
      onFailure: () => {
        state.failures += 1;
      },
      sleep: (ms, signal) =>
        new Promise((wake) => {
          if (signal.aborted) wake();
          else {
            sleepers.push({ ms, wake });
            signal.addEventListener('abort', () => wake(), { once: true });
          }
        }),
    },
    { bytesMax: 1_000, lettersMax: 10, ...options },
  );
  return Object.assign(state, {
    queue,
    statements,
    dropped,
    /** Ends all sleeps there are of this length or a shorter one. */
    pass: async (ms: number): Promise<void> => {
      for (const sleeper of sleepers.splice(0)) {
        if (sleeper.ms <= ms) sleeper.wake();
        else sleepers.push(sleeper);
      }
      await settle();
    },
  });
}

async function settle(): Promise<void> {
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
}

describe('dead letters on their way', () => {
  test('that come together are written together, a little later', async () => {
    const { queue, statements, pass } = createRig();
    queue.add([letter('a')]);
    queue.add([letter('b'), letter('c')]);
    await settle();
    expect(statements).toEqual([]);
    await pass(100);
    expect(statements).toEqual([['a', 'b', 'c']]);
    queue.add([letter('d')]);
    await pass(100);
    expect(statements).toEqual([['a', 'b', 'c'], ['d']]);
  });

  test('go in statements of bounded size', async () => {
    const { queue, statements, pass } = createRig({ bytesMax: 10_000_000, lettersMax: 10_000 });
    queue.add(Array.from({ length: 1_200 }, (_, index) => letter(String(index))));
    queue.add([letter('x'.repeat(700_000)), letter('y'.repeat(700_000)), letter('z'.repeat(2_000_000))]);
    await pass(100);
    expect(statements.map((raws) => raws.length)).toEqual([500, 500, 201, 1, 1]);
  });

  test('G5 G4 for which there is no room are dropped and counted, and do no harm to those that wait', async () => {
    const { queue, statements, dropped, pass } = createRig();
    queue.add(Array.from({ length: 12 }, (_, index) => letter(String(index))));
    expect(dropped).toEqual([
      ['queue', 1],
      ['queue', 1],
    ]);
    await pass(100);
    expect(statements[0]).toHaveLength(10);
    queue.add([letter('x'.repeat(999)), letter('yy'), letter('z')]);
    await pass(100);
    expect(statements[1]?.map((raw) => raw.length)).toEqual([999, 1]);
    expect(dropped).toHaveLength(3);
  });

  test('wait for a database that is away, and are written once when it is back', async () => {
    const rig = createRig();
    rig.answer = () => {
      throw new Failed('unavailable');
    };
    rig.queue.add([letter('a')]);
    await rig.pass(100);
    rig.queue.add([letter('b')]);
    await rig.pass(1_000);
    expect([rig.failures, rig.statements]).toEqual([2, []]);
    rig.answer = () => 0;
    await rig.pass(1_000);
    expect(rig.statements).toEqual([['a', 'b']]);
    expect(rig.dropped).toEqual([]);
  });

  test('G4 one that Postgres cannot hold is found among the others, which are written', async () => {
    const rig = createRig();
    rig.answer = (raws) => {
      if (raws.includes('bad')) throw new Failed('data');
      return 0;
    };
    rig.queue.add(['a', 'b', 'bad', 'c', 'd'].map(letter));
    await rig.pass(100);
    expect(rig.statements.flat().sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(rig.dropped).toEqual([['unstorable', 1]]);
  });

  test('G4 older ones that had to go are counted', async () => {
    const rig = createRig();
    rig.answer = () => 7;
    rig.queue.add([letter('a')]);
    await rig.pass(100);
    expect(rig.dropped).toEqual([['space', 7]]);
  });

  test('G4 are written at the end; what is left at its deadline, and what comes later, is counted', async () => {
    const rig = createRig();
    rig.queue.add([letter('a')]);
    await rig.queue.stop(1_000);
    expect(rig.statements).toEqual([['a']]);

    const late = createRig();
    late.answer = () => {
      throw new Failed('unavailable');
    };
    late.queue.add([letter('a'), letter('b')]);
    const stopped = late.queue.stop(500);
    await settle();
    await late.pass(500);
    await stopped;
    late.queue.add([letter('c')]);
    expect(late.dropped).toEqual([
      ['closed', 2],
      ['closed', 1],
    ]);
  });

  test('that must not be lost are on disk when keep resolves, and it rejects where they are not', async () => {
    const rig = createRig({ lettersMax: 1 });
    await rig.queue.keep(Array.from({ length: 700 }, (_, index) => letter(String(index))));
    expect(rig.statements.map((raws) => raws.length)).toEqual([500, 200]);
    rig.answer = () => {
      throw new Failed('unavailable');
    };
    await expect(rig.queue.keep([letter('a')])).rejects.toThrow('unavailable');
  });
});
