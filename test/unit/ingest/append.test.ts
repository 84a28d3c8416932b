import { describe, expect, test } from 'vitest';
import {
  type AppenderDependencies,
  createAppender,
  type RowOutcome,
  StoreFailure,
} from '../../../collector/src/ingest/append.ts';
import type { AppendRow } from '../../../collector/src/store/append.ts';
import type { Failure } from '../../../collector/src/store/failure.ts';
import { createFakeClock } from '../../harness/clock.ts';

/** What a statement of the fake store fails with. */
class Failed extends Error {
  override readonly name = 'Failed';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure);
    this.failure = failure;
  }
}

/**
 * A store that ends a statement only when the test says so, keeps what it was given once per claim, and refuses a value named
 * "poison" as Postgres refuses what it cannot hold.
 */
function createStore(
  options: {
    readonly writers?: number;
    readonly groupRows?: number;
    readonly streamsMax?: number;
    readonly heldUpMsMax?: number;
  } = {},
) {
  const clock = createFakeClock();
  const streams = new Map<string, number>();
  const stored = new Map<string, AppendRow>();
  const statements: {
    readonly rows: readonly AppendRow[];
    readonly end: (failure?: Failure) => Promise<void>;
  }[] = [];
  const groups: (readonly [rows: number, ms: number])[] = [];
  const forgotten: string[] = [];
  const partitionsFor: (readonly AppendRow[])[] = [];
  let automatic = false;

  function store(rows: readonly AppendRow[], streamIds: readonly number[]): readonly number[] {
    if (rows.some(({ name }) => name === 'poison')) throw new Failed('data');
    if (rows.some(({ stream, id }) => held.has(stream) || id === openId)) throw new Failed('held_up');
    const taken: number[] = [];
    rows.forEach((row, position) => {
      const claim = `${streamIds[position]}/${row.claim}`;
      if (stored.has(claim)) taken.push(position);
      else stored.set(claim, row);
    });
    return taken;
  }

  /** Streams that somebody else holds. */
  const held = new Set<string>();
  let openId = '';
  const refused = new Map<string, string>();
  let asked = 0;

  const dependencies: { -readonly [Name in keyof AppenderDependencies]: AppenderDependencies[Name] } = {
    async refusalsOf(rows) {
      asked += 1;
      return new Map(rows.flatMap((row) => (refused.has(row.id) ? [[row, refused.get(row.id) ?? '']] : [])));
    },
    append: (rows, streamIds) =>
      new Promise((resolve, reject) => {
        const end = (failure?: Failure): Promise<void> => {
          try {
            if (failure !== undefined) throw new Failed(failure);
            resolve(store(rows, streamIds));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
          return settle();
        };
        statements.push({ rows, end });
        if (automatic) void end();
      }),
    ensureStreams: async (names) => {
      for (const name of names) {
        if (!streams.has(name) && streams.size < (options.streamsMax ?? 100))
          streams.set(name, streams.size + 1);
      }
      return streams;
    },
    forgetStreams: (names) => forgotten.push(...names),
    makePartitions: async (rows) => partitionsFor.push(rows),
    heldStreams: async (streamIds) =>
      new Set(streamIds.filter((streamId) => [...held].some((name) => streams.get(name) === streamId))),
    sleep: clock.sleep,
    failureOf: (error) => (error instanceof Failed ? error.failure : 'broken'),
    monotonicMs: clock.monotonicMs,
    onGroup: (rows, ms) => groups.push([rows, ms]),
  };
  const appender = createAppender(dependencies, {
    writers: options.writers ?? 1,
    groupRows: options.groupRows ?? 10,
    heldUpMsMax: options.heldUpMsMax ?? 5_000,
  });

  return {
    appender,
    dependencies,
    clock,
    statements,
    groups,
    forgotten,
    partitionsFor,
    refused,
    held,
    /** Somebody else has taken this id, and has not committed. */
    keepOpen(id: string) {
      openId = id;
    },
    asked: () => asked,
    stored: () => [...stored.values()].map(({ id }) => id),
    /** From now on statements end by themselves. */
    run() {
      automatic = true;
    },
    submit(...rows: readonly AppendRow[]) {
      const submission: { result: readonly RowOutcome[] | StoreFailure | undefined } = { result: undefined };
      appender.submit(rows, 'key').then(
        (outcomes) => {
          submission.result = outcomes;
        },
        (error: unknown) => {
          if (error instanceof StoreFailure) submission.result = error;
          else throw error;
        },
      );
      return submission;
    },
  };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function row(id: string, change: Partial<AppendRow> = {}): AppendRow {
  return {
    stream: 'a',
    claim: `claim of ${id}`,
    id,
    name: 'thing.happened',
    key: null,
    props: null,
    occurredAt: null,
    sentAt: null,
    receivedAt: 0n,
    eventTime: 0n,
    timeQuality: 6,
    ip: null,
    userAgent: null,
    ...change,
  };
}

const rows = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => row(`${prefix}${index}`));
const ids = (statement: { readonly rows: readonly AppendRow[] } | undefined) =>
  statement?.rows.map(({ id }) => id);
const outcomes = (submission: { result: readonly RowOutcome[] | StoreFailure | undefined }) =>
  submission.result instanceof StoreFailure
    ? submission.result.failure
    : submission.result?.map(({ outcome }) => outcome);

describe('rows that may not be stored', () => {
  test('are rejected with the reason, their neighbours are stored, and nobody asks again when a group is tried again', async () => {
    const store = createStore();
    store.run();
    store.refused.set('2', 'it has no total');
    const submission = store.submit(row('1'), row('2'), row('3', { name: 'poison' }), row('4'));
    await settle();
    await settle();
    expect(outcomes(submission)).toEqual(['stored', 'rejected', 'rejected', 'stored']);
    expect(submission.result).toMatchObject({
      1: { code: 'schema_mismatch', message: 'it has no total' },
      2: { code: 'unstorable' },
    });
    expect(store.stored()).toEqual(['1', '4']);
    expect(store.asked()).toBe(1);
  });

  test('when that is not known fail the submission: nothing is stored unchecked', async () => {
    const store = createStore();
    store.run();
    store.dependencies.refusalsOf = () => Promise.reject(new Failed('unavailable'));
    const submission = store.submit(row('1'));
    await settle();
    expect(outcomes(submission)).toBe('unavailable');
    expect(store.stored()).toEqual([]);
  });
});

describe('a stream that somebody else holds', () => {
  const of = (stream: string, id: string) => row(id, { stream });

  test('holds up only what is for it: the rest of its transaction is stored, and so is what comes', async () => {
    const store = createStore();
    store.run();
    store.held.add('slow');
    const before = [store.submit(of('slow', 's1'), of('other', 'o1')), store.submit(of('other', 'o2'))];
    await settle();
    const after = [store.submit(of('slow', 's2')), store.submit(of('other', 'o3'))];
    await settle();
    expect([...before, ...after].map(outcomes)).toEqual([undefined, ['stored'], undefined, ['stored']]);
    expect([store.appender.waitingRows(), store.appender.heldUpRows]).toEqual([0, 3]);
    store.held.clear();
    await store.clock.advance(100);
    expect([before[0], after[0]].map((one) => one && outcomes(one))).toEqual([
      ['stored', 'stored'],
      ['stored'],
    ]);
    expect(store.appender.heldUpRows).toBe(0);
  });

  test('is tried one submission at a time, until what is for it has waited too long', async () => {
    const store = createStore();
    store.run();
    store.held.add('slow');
    const submissions = [store.submit(of('slow', '1')), store.submit(of('slow', '2'))];
    await settle();
    await store.clock.advance(4_900);
    expect(submissions.map(outcomes)).toEqual([undefined, undefined]);
    expect(store.statements.slice(2).every(({ rows }) => rows.length === 1)).toBe(true);
    await store.clock.advance(200);
    expect(submissions.map(outcomes)).toEqual(['held_up', 'held_up']);
    await store.appender.drained();
  });

  test('may have so much waiting and no more: what comes then is refused at once', async () => {
    const store = createStore({ groupRows: 3 });
    store.run();
    store.held.add('slow');
    const waiting = Array.from({ length: 3 }, (_, at) => store.submit(of('slow', `${at}`)));
    await settle();
    await settle();
    const [more, other] = [store.submit(of('slow', 'more')), store.submit(of('other', 'o'))];
    await settle();
    expect([...waiting, more, other].map(outcomes)).toEqual([
      undefined,
      undefined,
      undefined,
      'held_up',
      ['stored'],
    ]);
  });

  test('takes turns with another that is held: the one that is free first goes on first', async () => {
    const store = createStore();
    store.run();
    store.held.add('slow').add('slower');
    const slower = store.submit(of('slower', '1'));
    const slow = store.submit(of('slow', '2'));
    const both = store.submit(of('slow', '3'), of('slower', '4'));
    await settle();
    store.held.delete('slow');
    await store.clock.advance(100);
    expect([slower, slow, both].map(outcomes)).toEqual([undefined, ['stored'], undefined]);
    store.held.clear();
    await store.clock.advance(100);
    expect([slower, both].map(outcomes)).toEqual([['stored'], ['stored', 'stored']]);
  });

  test('is found by halves where Postgres does not say what the transaction waited for', async () => {
    const store = createStore({ groupRows: 100 });
    store.run();
    store.keepOpen('held');
    const submissions = Array.from({ length: 64 }, (_, at) =>
      store.submit(of(`stream ${at}`, at === 17 ? 'held' : `${at}`)),
    );
    await settle();
    await store.clock.advance(200);
    expect(submissions.filter((one) => outcomes(one) === undefined)).toEqual([submissions[17]]);
    store.keepOpen('');
    await store.clock.advance(100);
    expect(outcomes(submissions[17] ?? { result: undefined })).toEqual(['stored']);
  });

  test('lets what is for it be withdrawn, unless it is being tried', async () => {
    const store = createStore();
    store.run();
    store.held.add('slow');
    const rows = [of('slow', '1')];
    void store.appender.submit(rows, 'key');
    await settle();
    expect(store.appender.withdraw(rows)).toBe(true);
    store.held.clear();
    await store.clock.advance(100);
    expect(store.stored()).toEqual([]);
    expect(outcomes(store.submit(of('slow', '2')))).toBeUndefined();
    await settle();
    expect(store.stored()).toEqual(['2']);
  });

  test('fails what is for it after one attempt where it may not wait', async () => {
    const store = createStore({ heldUpMsMax: 0 });
    store.run();
    store.held.add('slow');
    const submission = store.submit(of('slow', '1'));
    await settle();
    await store.clock.advance(100);
    expect(outcomes(submission)).toBe('held_up');
  });
});

describe('submissions', () => {
  test('that wait when a writer becomes free go into one transaction, each is answered when it has ended', async () => {
    const store = createStore();
    const first = store.submit(row('1'));
    await settle();
    const others = [store.submit(row('2'), row('3')), store.submit(row('4'))];
    await settle();
    expect(store.statements.map(ids)).toEqual([['1']]);
    await store.statements[0]?.end();
    expect(outcomes(first)).toEqual(['stored']);
    expect(store.statements.map(ids)).toEqual([['1'], ['2', '3', '4']]);
    expect(others.map(outcomes)).toEqual([undefined, undefined]);
    await store.statements[1]?.end();
    expect(others.map(outcomes)).toEqual([['stored', 'stored'], ['stored']]);
  });

  test('are grouped up to the limit and never split, a single one may have more', async () => {
    const store = createStore({ groupRows: 10 });
    store.submit(row('busy'));
    for (const count of [4, 5, 2, 25, 10, 1]) store.submit(...rows(`${count}-`, count));
    store.run();
    await store.statements[0]?.end();
    await store.appender.drained();
    expect(store.statements.map(({ rows }) => rows.length)).toEqual([1, 9, 2, 25, 10, 1]);
  });

  test('go out in the order they came in, and by as many writers as there are', async () => {
    const store = createStore({ writers: 2, groupRows: 1 });
    const submissions = ['1', '2', '3', '4'].map((id) => store.submit(row(id)));
    await settle();
    expect(store.statements.map(ids)).toEqual([['1'], ['2']]);
    await store.statements[1]?.end();
    expect(store.statements.map(ids)).toEqual([['1'], ['2'], ['3']]);
    await store.statements[0]?.end();
    expect(store.statements.map(ids)).toEqual([['1'], ['2'], ['3'], ['4']]);
    expect(submissions.map(outcomes)).toEqual([['stored'], ['stored'], undefined, undefined]);
  });

  test('without rows are answered without a transaction', async () => {
    const store = createStore();
    expect(await store.appender.submit([], 'key')).toEqual([]);
    expect(store.statements).toHaveLength(0);
  });

  test('are stored in event-time order, ties as they came, and answered in the order of their rows', async () => {
    const store = createStore();
    store.submit(row('busy'));
    const times: readonly (readonly [string, bigint])[] = [
      ['1', 30n],
      ['2', -10n],
      ['3', 20n],
    ];
    const first = store.submit(...times.map(([id, eventTime]) => row(id, { eventTime })));
    const second = store.submit(row('4', { eventTime: 20n }), row('busy', { eventTime: 5n }));
    store.run();
    await store.statements[0]?.end();
    await store.appender.drained();
    expect(ids(store.statements[1])).toEqual(['2', 'busy', '3', '4', '1']);
    expect([outcomes(first), outcomes(second)]).toEqual([
      ['stored', 'stored', 'stored'],
      ['stored', 'duplicate'],
    ]);
  });

  test('say how long the oldest has been waiting for a writer, and how many rows wait', async () => {
    const store = createStore();
    expect([store.appender.oldestWaitMs(), store.appender.waitingRows()]).toEqual([0, 0]);
    store.submit(row('1'));
    await store.clock.advance(100);
    expect(store.appender.oldestWaitMs()).toBe(0);
    store.submit(...rows('x', 3));
    await store.clock.advance(50);
    store.submit(...rows('y', 2));
    await store.clock.advance(25);
    expect([store.appender.oldestWaitMs(), store.appender.waitingRows()]).toEqual([75, 5]);
    await store.statements[0]?.end();
    expect([store.appender.oldestWaitMs(), store.appender.waitingRows()]).toEqual([0, 0]);
    expect(store.groups).toEqual([[1, 175]]);
  });

  test('G3 can be taken back while they wait, and are not stored then', async () => {
    const store = createStore();
    const [busy, waiting] = [[row('1')], [row('2')]];
    void store.appender.submit(busy, 'key');
    void store.appender.submit(waiting, 'key');
    store.submit(row('3'));
    await settle();
    expect([store.appender.withdraw(busy), store.appender.withdraw(waiting)]).toEqual([false, true]);
    expect([store.appender.withdraw(waiting), store.appender.waitingRows()]).toEqual([false, 1]);
    store.run();
    await store.statements[0]?.end();
    await store.appender.drained();
    expect(store.stored()).toEqual(['1', '3']);
  });

  test('are drained when the last of them has ended, also those that failed', async () => {
    const store = createStore();
    await store.appender.drained();
    store.submit(row('1'));
    store.submit(row('2'));
    let drained = false;
    const wait = store.appender.drained().then(() => {
      drained = true;
    });
    await settle();
    await store.statements[0]?.end();
    expect(drained).toBe(false);
    await store.statements[1]?.end('unavailable');
    await wait;
    expect(drained).toBe(true);
  });
});

describe('G2 of two copies of an id', () => {
  test('in a group the one that was submitted first is stored, whatever their event times', async () => {
    const store = createStore();
    store.submit(row('busy'));
    const first = store.submit(row('1'), row('2', { eventTime: 99n, name: 'first' }));
    const second = store.submit(row('2', { eventTime: 1n, name: 'second' }), row('3'));
    store.run();
    await store.statements[0]?.end();
    await store.appender.drained();
    expect(store.statements[1]?.rows.find(({ id }) => id === '2')?.name).toBe('first');
    expect([outcomes(first), outcomes(second)]).toEqual([
      ['stored', 'stored'],
      ['duplicate', 'stored'],
    ]);
  });

  test('in one submission the first is stored', async () => {
    const store = createStore();
    const submission = store.submit(row('1'), row('1'), row('2'), row('1'));
    await settle();
    expect(ids(store.statements[0])).toEqual(['1', '2']);
    await store.statements[0]?.end();
    expect(outcomes(submission)).toEqual(['stored', 'duplicate', 'stored', 'duplicate']);
  });

  test('in two streams both are stored', async () => {
    const store = createStore();
    store.run();
    const submission = store.submit(row('1'), row('1', { stream: 'b' }));
    await store.appender.drained();
    expect(outcomes(submission)).toEqual(['stored', 'stored']);
  });

  test('of which one was stored earlier every later one is a duplicate', async () => {
    const store = createStore();
    store.run();
    store.submit(row('1'));
    const submission = store.submit(row('0'), row('1'), row('1'));
    await store.appender.drained();
    expect(outcomes(submission)).toEqual(['stored', 'duplicate', 'duplicate']);
  });
});

describe('an event that Postgres cannot hold', () => {
  test('is rejected alone: its neighbours in the batch and in the group are stored', async () => {
    const store = createStore();
    store.submit(row('busy'));
    const before = store.submit(row('1'), row('2'));
    const poisoned = store.submit(row('3'), row('4', { name: 'poison' }), row('5'));
    const after = store.submit(row('6'));
    store.run();
    await store.statements[0]?.end();
    await store.appender.drained();
    expect([before, poisoned, after].map(outcomes)).toEqual([
      ['stored', 'stored'],
      ['stored', 'rejected', 'stored'],
      ['stored'],
    ]);
    expect(store.stored()).toEqual(['busy', '1', '2', '3', '5', '6']);
  });

  test('is named by a code and by a message without its values', async () => {
    const store = createStore();
    store.run();
    const submission = store.submit(row('secret', { name: 'poison' }));
    await store.appender.drained();
    expect(submission.result).toEqual([
      { outcome: 'rejected', code: 'unstorable', message: expect.not.stringContaining('secret') as string },
    ]);
  });

  test('leaves the id to a copy that can be stored', async () => {
    const store = createStore();
    store.submit(row('busy'));
    const poisoned = store.submit(row('1', { name: 'poison' }));
    const sound = store.submit(row('1'), row('2'));
    store.run();
    await store.statements[0]?.end();
    await store.appender.drained();
    expect([poisoned, sound].map(outcomes)).toEqual([['rejected'], ['stored', 'stored']]);
  });

  test('does not keep others from being told that the store was lost meanwhile', async () => {
    const store = createStore();
    const submission = store.submit(row('1'), row('2', { name: 'poison' }), row('3'));
    await settle();
    await store.statements[0]?.end();
    await store.statements[1]?.end();
    expect(store.statements.map(ids)).toEqual([['1', '2', '3'], ['1', '2', '3'], ['1']]);
    await store.statements[2]?.end();
    await store.statements[3]?.end();
    await store.statements[4]?.end('unavailable');
    expect(outcomes(submission)).toBe('unavailable');
  });
});

describe('a transaction', () => {
  test.each<Failure>(['unavailable', 'broken'])(
    'G3 that ends as %s has an unknown outcome: all of its group are told so, once, and nothing is tried again',
    async (failure) => {
      const store = createStore();
      store.submit(row('busy'));
      const group = [store.submit(row('1')), store.submit(row('2'), row('3'))];
      await settle();
      await store.statements[0]?.end();
      await store.statements[1]?.end(failure);
      expect(group.map(outcomes)).toEqual([failure, failure]);
      expect(group[0]?.result).toBeInstanceOf(StoreFailure);
      expect(group[0]?.result).toHaveProperty('cause', new Failed(failure));
      expect(store.statements).toHaveLength(2);
      const next = store.submit(row('4'));
      await settle();
      await store.statements[2]?.end();
      expect(outcomes(next)).toEqual(['stored']);
    },
  );

  test('that Postgres undid is tried again once', async () => {
    const store = createStore();
    const once = store.submit(row('1'));
    await settle();
    await store.statements[0]?.end('transient');
    await store.statements[1]?.end();
    expect(outcomes(once)).toEqual(['stored']);

    const twice = store.submit(row('2'));
    await settle();
    await store.statements[2]?.end('transient');
    await store.statements[3]?.end('transient');
    expect(outcomes(twice)).toBe('transient');
    expect(store.statements).toHaveLength(4);
  });

  test('whose stream was deleted forgets it, makes it anew and is tried again', async () => {
    const store = createStore();
    const submission = store.submit(row('1'), row('2', { stream: 'b' }));
    await settle();
    await store.statements[0]?.end('stream_gone');
    expect([...new Set(store.forgotten)]).toEqual(['a', 'b']);
    await store.statements[1]?.end();
    expect(outcomes(submission)).toEqual(['stored', 'stored']);
  });

  test('without a partition for its rows has them made and is tried again', async () => {
    const store = createStore();
    const submission = store.submit(row('1'), row('2'));
    await settle();
    await store.statements[0]?.end('no_partition');
    expect(store.partitionsFor.map((rows) => rows.map(({ id }) => id))).toEqual([['1', '2']]);
    await store.statements[1]?.end();
    expect(outcomes(submission)).toEqual(['stored', 'stored']);
  });

  test('whose partitions cannot be made is not stored', async () => {
    const store = createStore();
    const submission = store.submit(row('1'));
    await settle();
    await store.statements[0]?.end('no_partition');
    await store.statements[1]?.end('no_partition');
    expect(outcomes(submission)).toBe('no_partition');
  });

  test('is not begun while streams cannot be asked for, and its submissions are told', async () => {
    const clock = createFakeClock();
    const { dependencies } = createStore();
    const appender = createAppender(
      {
        ...dependencies,
        ensureStreams: () => Promise.reject(new Failed('unavailable')),
        monotonicMs: clock.monotonicMs,
      },
      { heldUpMsMax: 5_000, writers: 1, groupRows: 10 },
    );
    await expect(appender.submit([row('1')], 'key')).rejects.toEqual(
      new StoreFailure('unavailable', new Failed('unavailable')),
    );
    await appender.drained();
  });
});

test('an event of one stream too many is rejected alone', async () => {
  const store = createStore({ streamsMax: 1 });
  store.run();
  const submission = store.submit(row('1'), row('2', { stream: 'b' }), row('3'));
  const only = store.submit(row('4', { stream: 'c' }));
  await store.appender.drained();
  expect([outcomes(submission), outcomes(only)]).toEqual([['stored', 'rejected', 'stored'], ['rejected']]);
  expect(submission.result).toContainEqual(expect.objectContaining({ code: 'too_many_streams' }));
  expect(store.statements.map(ids)).toEqual([['1', '3']]);
});
