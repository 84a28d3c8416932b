import { beforeEach, describe, expect, test } from 'vitest';
import { type RowOutcome, StoreFailure } from '../../../collector/src/ingest/append.ts';
import { createSpool, type Spool } from '../../../collector/src/ingest/spool.ts';
import { SpoolFullError } from '../../../collector/src/ingest/spool-journal.ts';
import { decodeRows } from '../../../collector/src/ingest/spool-record.ts';
import type { Submitted } from '../../../collector/src/ingest/submit.ts';
import type { AppendRow } from '../../../collector/src/store/append.ts';
import type { Failure } from '../../../collector/src/store/failure.ts';
import { appendRow } from '../../harness/append-row.ts';
import { createFakeClock, type FakeClock } from '../../harness/clock.ts';

/** What Postgres has in hand, until the test ends it. */
interface AtPostgres {
  readonly rows: readonly AppendRow[];
  waits: boolean;
  readonly store: (outcome?: RowOutcome) => void;
  readonly fail: (failure: Failure) => void;
}

let clock: FakeClock;
let atPostgres: AtPostgres[];
let kept: string[];
let full: boolean;
let turns: boolean[];
let waitingRows: number;
let spool: Spool;

beforeEach(() => {
  clock = createFakeClock();
  atPostgres = [];
  kept = [];
  full = false;
  turns = [];
  waitingRows = 0;
  spool = createSpool(
    {
      appender: {
        submit: (rows) =>
          new Promise((resolve, reject) => {
            atPostgres.push({
              rows,
              waits: false,
              store: (outcome = { outcome: 'stored' }) => resolve(rows.map(() => outcome)),
              fail: (failure) => reject(new StoreFailure(failure, undefined)),
            });
          }),
        waitingRows: () => waitingRows,
        withdraw: (rows) => atPostgres.some((one) => one.rows === rows && one.waits),
      },
      journal: {
        async append(record) {
          if (full) throw new SpoolFullError('it is full');
          kept.push(...decodeRows(record).map(({ id }) => id));
        },
        fill: () => (full ? 1 : 0),
      },
      monotonicMs: clock.monotonicMs,
      every: clock.every,
      onSpooled: () => undefined,
      onAway: (away) => turns.push(away),
    },
    { fullFrom: 0.9, afterMs: 1_000, waitingRowsMax: 8_000 },
  );
});

const send = (id: string): Promise<Submitted> => spool.submit([appendRow(id)], 'key');
const newest = (): AtPostgres => {
  const last = atPostgres.at(-1);
  if (last === undefined) throw new Error('Postgres was not asked');
  return last;
};
const spooled = { durability: 'spooled', outcomes: [{ outcome: 'stored' }] };

describe('a spool', () => {
  test('has nothing to do with what Postgres takes in time, and passes on what it says', async () => {
    const reply = send('one');
    await clock.advance(900);
    newest().store({ outcome: 'duplicate' });
    expect(await reply).toEqual({ durability: 'committed', outcomes: [{ outcome: 'duplicate' }] });
    expect(kept).toEqual([]);
    expect(await spool.submit([], 'key')).toEqual({ durability: 'committed', outcomes: [] });
  });

  test('G1 keeps what Postgres fails to take, and then everything at once, until something was moved in good time', async () => {
    const reply = send('one');
    newest().fail('unavailable');
    expect(await reply).toEqual(spooled);
    expect(await send('two')).toEqual(spooled);
    expect(kept).toEqual(['one', 'two']);
    expect([atPostgres.length, spool.away()]).toEqual([1, true]);
    spool.moved(1_500);
    expect(spool.away()).toBe(true);
    spool.moved(200);
    const direct = send('three');
    newest().store();
    expect((await direct).durability).toBe('committed');
    expect(turns).toEqual([true, false]);
  });

  test('keeps what waits too long for Postgres, and with it all that waits behind it', async () => {
    const first = send('being written');
    const second = send('waits');
    newest().waits = true;
    await clock.advance(800);
    const third = send('waits behind');
    newest().waits = true;
    await clock.advance(300);
    expect(await Promise.all([first, second, third])).toEqual([spooled, spooled, spooled]);
    expect(kept.toSorted()).toEqual(['being written', 'waits', 'waits behind']);
  });

  test('G5 keeps at once what would have to wait behind too much, and does not give Postgres up for it', async () => {
    waitingRows = 8_000;
    const reply = send('one');
    expect(spool.waitingRows('key')).toBe(1);
    expect([spool.waitingRows(), spool.waitingRows('another')]).toEqual([1, 0]);
    expect(await reply).toEqual(spooled);
    expect([spool.waitingRows(), spool.away(), atPostgres.length]).toEqual([0, false, 0]);
  });

  test('does not give Postgres up for a single transaction that it undid, and not at all for a fault of ours', async () => {
    const undone = send('undone');
    newest().fail('transient');
    expect(await undone).toEqual(spooled);
    expect(spool.away()).toBe(false);
    const broken = send('broken');
    newest().fail('broken');
    await expect(broken).rejects.toMatchObject({ failure: 'broken' });
    expect(kept).toEqual(['undone']);
  });

  test('G3 when it is full says that nothing was stored only where that is so', async () => {
    full = true;
    const lost = send('lost on the way');
    newest().fail('unavailable');
    await expect(lost).rejects.toMatchObject({ name: 'StoreFailure', failure: 'unavailable' });
    expect(spool.refusal()).toMatch('full');
    await expect(send('refused')).rejects.toBeInstanceOf(SpoolFullError);

    spool.drained();
    expect(spool.refusal()).toBeUndefined();
    const late = send('late');
    const waits = send('waits');
    newest().waits = true;
    const refused = waits.catch((error: unknown) => error);
    await clock.advance(1_200);
    expect(await refused).toBeInstanceOf(SpoolFullError);
    // It is still being written, so its end is waited for.
    atPostgres[1]?.store();
    expect(await late).toEqual({ durability: 'committed', outcomes: [{ outcome: 'stored' }] });
  });
});
