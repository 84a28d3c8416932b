import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type RowOutcome, StoreFailure } from '../../../collector/src/ingest/append.ts';
import { type RejectedRow, startDrain } from '../../../collector/src/ingest/spool-drain.ts';
import type { JournalRecord } from '../../../collector/src/ingest/spool-journal.ts';
import { encodeRows } from '../../../collector/src/ingest/spool-record.ts';
import type { AppendRow } from '../../../collector/src/store/append.ts';
import { appendRow } from '../../harness/append-row.ts';
import { createFakeClock, type FakeClock } from '../../harness/clock.ts';

let clock: FakeClock;
let journal: JournalRecord[];
let transactions: string[][];
let letters: string[];
let failures: boolean[];
let outcomeOf: (row: AppendRow) => RowOutcome;
let lettersFail: boolean;
let places: number;

beforeEach(() => {
  clock = createFakeClock();
  journal = [];
  transactions = [];
  letters = [];
  failures = [];
  outcomeOf = () => ({ outcome: 'stored' });
  lettersFail = false;
  places = 0;
});

function put(...rows: AppendRow[]): void {
  places += 1;
  journal.push({ bytes: encodeRows(rows), end: { segment: 1, offset: places } });
}

function start() {
  const drain = startDrain({
    appender: {
      async submit(rows, sender) {
        expect(sender).toBe('spool');
        const outcomes = rows.map(outcomeOf);
        transactions.push(rows.map(({ id }) => id));
        return outcomes;
      },
    },
    journal: {
      read: async (bytesMax) => journal.slice(0, bytesMax === 1 ? 1 : 100),
      async settle({ offset }) {
        journal = journal.filter(({ end }) => end.offset > offset);
      },
      async append(bytes) {
        places += 1;
        journal.push({ bytes, end: { segment: 1, offset: places } });
      },
    },
    async onRejected(rejected: readonly RejectedRow[]) {
      if (lettersFail) throw new StoreFailure('unavailable', undefined);
      letters.push(...rejected.map(({ row, outcome }) => `${row.id} ${outcome.code}`));
    },
    onMoved: () => undefined,
    onEmpty: () => undefined,
    onFailure: (_, postponed) => failures.push(postponed),
    monotonicMs: clock.monotonicMs,
    sleep: clock.sleep,
  });
  onTestFinished(() => drain.stop());
  return drain;
}

const fail = (failure: 'unavailable' | 'transient' | 'held_up') => {
  throw new StoreFailure(failure, undefined);
};

describe('the drain of the spool', () => {
  test('moves what is there in its order, many records in a transaction, and then what comes', async () => {
    for (let at = 0; at < 5; at += 1) put(appendRow(`${at}`), appendRow(`${at}b`));
    const drain = start();
    await clock.advance(0);
    expect(transactions).toEqual([['0', '0b', '1', '1b', '2', '2b', '3', '3b', '4', '4b']]);
    put(appendRow('more'));
    drain.hurry();
    await clock.advance(0);
    expect(transactions).toHaveLength(2);
    expect(journal).toEqual([]);
  });

  test('G5 takes about two thousand rows at a time', async () => {
    for (let at = 0; at < 5; at += 1)
      put(...Array.from({ length: 900 }, (_, row) => appendRow(`${at}/${row}`)));
    start();
    await clock.advance(0);
    expect(transactions.map(({ length }) => length)).toEqual([1_800, 1_800, 900]);
  });

  test('tries again, and forgets nothing, while Postgres is away', async () => {
    outcomeOf = () => fail('unavailable');
    put(appendRow('one'));
    const drain = start();
    await clock.advance(20_000);
    expect(failures.length).toBeGreaterThan(10);
    expect(failures.every((postponed) => !postponed)).toBe(true);
    // What comes meanwhile does not hurry it.
    const before = failures.length;
    for (let at = 0; at < 100; at += 1) drain.hurry();
    await clock.advance(999);
    expect(failures.length - before).toBeLessThan(3);
    expect(journal).toHaveLength(1);
    outcomeOf = () => ({ outcome: 'stored' });
    await clock.advance(1_000);
    expect(transactions).toEqual([['one']]);
  });

  test('G4 keeps an event that Postgres refuses as a dead letter before it forgets it', async () => {
    outcomeOf = ({ id }) =>
      id === 'bad' ? { outcome: 'rejected', code: 'unstorable', message: '' } : { outcome: 'stored' };
    lettersFail = true;
    put(appendRow('good'), appendRow('bad'));
    start();
    await clock.advance(5_000);
    expect([journal.length, letters]).toEqual([1, []]);
    lettersFail = false;
    await clock.advance(1_000);
    expect([journal.length, letters]).toEqual([0, ['bad unstorable']]);
  });

  test('lets others go first when Postgres does not take a record though it is there, and loses none', async () => {
    outcomeOf = ({ id }) => (id === 'stuck' ? fail('transient') : { outcome: 'stored' });
    put(appendRow('stuck'));
    put(appendRow('one'));
    put(appendRow('two'));
    start();
    await clock.advance(20_000);
    expect(transactions.flat().toSorted()).toEqual(['one', 'two']);
    expect(failures).toContain(true);
    expect(journal).toHaveLength(1);
    outcomeOf = () => ({ outcome: 'stored' });
    await clock.advance(2_000);
    expect(transactions.flat()).toContain('stuck');
    expect(journal).toEqual([]);
  });

  test('lets others go first while somebody holds the stream of a record, together, as soon as that is clear', async () => {
    let isHeld = true;
    outcomeOf = ({ stream }) => (isHeld && stream === 'held' ? fail('held_up') : { outcome: 'stored' });
    put(appendRow('held 1', { stream: 'held' }));
    for (const id of ['one', 'two', 'three']) put(appendRow(id));
    put(appendRow('held 2', { stream: 'held' }));
    for (const id of ['four', 'five']) put(appendRow(id));
    start();
    await clock.advance(1_000);
    expect(transactions).toEqual([
      ['one', 'two', 'three'],
      ['four', 'five'],
    ]);
    isHeld = false;
    await clock.advance(2_000);
    expect(transactions.slice(2).flat().toSorted()).toEqual(['held 1', 'held 2']);
    expect(journal).toEqual([]);
  });
});
