import { expect, test } from 'vitest';
import { createLog } from '../../../collector/src/log.ts';
import { StoreFailure } from '../../../collector/src/ingest/append.ts';
import { startClearing } from '../../../collector/src/ingest/spool-abandoned.ts';
import type { Journal, JournalRecord } from '../../../collector/src/ingest/spool-journal.ts';
import { type OpenSpool, UnfitSpoolError } from '../../../collector/src/ingest/spool-open.ts';
import { encodeRows } from '../../../collector/src/ingest/spool-record.ts';
import { appendRow } from '../../harness/append-row.ts';
import { createFakeClock } from '../../harness/clock.ts';

/** Folders with a record for each id. Those in `used` cannot be opened. */
function makeFolders(content: Record<string, readonly string[]>) {
  const clock = createFakeClock();
  const used = new Set<string>();
  const log: string[] = [];
  const moved: string[] = [];
  let away = false;
  const records = new Map(
    Object.entries(content).map(([folder, ids]): [string, JournalRecord[]] => [
      folder,
      ids.map((id, offset) => ({ bytes: encodeRows([appendRow(id)]), end: { segment: 1, offset } })),
    ]),
  );

  function open(folder: string): OpenSpool {
    if (used.has(folder)) throw new UnfitSpoolError(`${folder} is in use`);
    log.push(`opened ${folder}`);
    const left = () => records.get(folder) ?? [];
    const journal: Pick<Journal, 'read' | 'settle' | 'append' | 'waitingBytes'> = {
      // One at a time.
      read: async () => left().slice(0, 1),
      async settle({ offset }) {
        records.set(
          folder,
          left().filter(({ end }) => end.offset > offset),
        );
      },
      append: async () => undefined,
      get waitingBytes() {
        return left().length;
      },
    };
    return {
      path: folder,
      journal: journal as Journal,
      kept: { find: () => undefined, asking: () => [], run: async () => undefined },
      close: async () => void log.push(`closed ${folder}`),
    };
  }

  const clearing = startClearing({
    abandoned: {
      folders: async () => [...records].flatMap(([folder, left]) => (left.length > 0 ? [folder] : [])),
      open: async (folder) => open(folder),
    },
    appender: {
      async submit(rows) {
        if (away) throw new StoreFailure('unavailable', new Error('away'));
        moved.push(...rows.map(({ id }) => id));
        return rows.map(() => ({ outcome: 'stored' }));
      },
    },
    onRejected: async () => undefined,
    onMoved: () => undefined,
    log: createLog({ level: 'silent' }),
    monotonicMs: clock.monotonicMs,
    sleep: clock.sleep,
  });
  return {
    ...{ clock, clearing, used, log, moved },
    setAway: (now: boolean) => {
      away = now;
    },
  };
}

test('what was left behind is moved, folder by folder, in the order of each, and then nothing is looked at any more', async () => {
  const { clock, clearing, log, moved } = makeFolders({ one: ['a', 'b', 'c'], two: ['d'], three: [] });
  await clock.advance(0);
  expect(moved).toEqual(['a', 'b', 'c', 'd']);
  expect(log).toEqual(['opened one', 'closed one', 'opened two', 'closed two']);
  expect([clearing.waitingBytes(), clock.waiting()]).toEqual([0, 0]);
  await clearing.stop();
});

test('a folder that is in use waits for its user to end, and the others do not wait for it', async () => {
  const { clock, clearing, used, moved } = makeFolders({ one: ['a'], two: ['b'] });
  used.add('one');
  await clock.advance(9_000);
  expect(moved).toEqual(['b']);
  used.delete('one');
  await clock.advance(1_000);
  expect(moved).toEqual(['b', 'a']);
  await clearing.stop();
});

test('while Postgres is away it is tried again; what is left at the end stays in its folder, which is closed', async () => {
  const { clock, clearing, log, moved, setAway } = makeFolders({ one: ['a', 'b'], two: ['c'] });
  setAway(true);
  await clock.advance(5_000);
  expect([moved, clearing.waitingBytes()]).toEqual([[], 2]);
  await clearing.stop();
  expect([moved, log]).toEqual([[], ['opened one', 'closed one']]);
  expect(clock.waiting()).toBe(0);
});
