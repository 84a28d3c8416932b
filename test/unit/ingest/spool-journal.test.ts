import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  openSpoolFolder,
  type SpoolFile,
  type SpoolFolder,
} from '../../../collector/src/ingest/spool-folder.ts';
import {
  type Journal,
  openJournal,
  SpoolFullError,
  SpoolWriteError,
} from '../../../collector/src/ingest/spool-journal.ts';
import { createFakeClock } from '../../harness/clock.ts';
import { createRandom } from '../../harness/seed.ts';

const random = createRandom(7);
const clock = createFakeClock();

let path: string;
let damage: number;
let cut: number;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'tidemark-journal-'));
  damage = 0;
  cut = 0;
  return () => rm(path, { recursive: true, force: true });
});

async function open(bytesMax = 1_000_000, folder: SpoolFolder = openSpoolFolder(path)): Promise<Journal> {
  const journal = await openJournal(folder, {
    bytesMax,
    randomBytes: clock.randomBytes,
    monotonicMs: clock.monotonicMs,
    onDamage: (_, bytes) => (damage += bytes),
    onCut: (_, bytes) => (cut += bytes),
  });
  // Of one that a test has let go of, as a crash does, this only closes the files.
  onTestFinished(() => journal.close().catch(() => undefined));
  return journal;
}

const segments = async () => (await readdir(path)).filter((name) => name.endsWith('.spool')).sort();

/** Everything that waits, settled on the way. */
async function drain(journal: Journal, bytesMax = 100): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const records = await journal.read(bytesMax);
    const last = records.at(-1);
    if (last === undefined) return found;
    found.push(...records.map(({ bytes }) => bytes.toString()));
    await journal.settle(last.end);
  }
}

const texts = (count: number, from = 0) =>
  Array.from({ length: count }, (_, at) => `record ${at + from} ${'x'.repeat(random.below(60))}`);
const appendAll = (journal: Journal, records: readonly string[]) =>
  Promise.all(records.map((record) => journal.append(Buffer.from(record))));

describe('the journal of the spool', () => {
  test('gives records in their order, and takes up nothing when all are settled', async () => {
    const journal = await open(4_000);
    const records = texts(40);
    await appendAll(journal, records);
    expect(journal.waitingBytes).toBeGreaterThan(0);
    expect((await segments()).length).toBeGreaterThan(1);
    expect(await drain(journal)).toEqual(records);
    expect([journal.waitingBytes, journal.fill(), await segments()]).toEqual([0, 0, []]);
    await journal.close();
  });

  test('G1 gives what was appended to the next process, from the place on that was settled', async () => {
    const first = await open(2_000);
    const records = texts(20);
    await appendAll(first, records);
    const [oldest] = await first.read(1);
    if (oldest !== undefined) await first.settle(oldest.end);
    // Not closed: the process was killed.
    const second = await open(2_000);
    await appendAll(second, ['later']);
    expect(await drain(second)).toEqual([...records.slice(1), 'later']);
    const third = await open();
    expect(await drain(third)).toEqual([]);
  });

  test('G1 gives everything that was appended whole, wherever a crash cut the last write', async () => {
    const journal = await open();
    const records = texts(6);
    for (const record of records) await journal.append(Buffer.from(record));
    await journal.close();
    const [name = ''] = await segments();
    const whole = await readFile(join(path, name));
    for (let size = whole.length; size >= 0; size -= 1 + random.below(9)) {
      await writeFile(join(path, name), whole);
      await truncate(join(path, name), size);
      await rm(join(path, 'drained'));
      const again = await open();
      const found = await drain(again);
      await again.close();
      expect(found).toEqual(records.slice(0, found.length));
      const ends = records.slice(0, found.length + 1).reduce((sum, record) => sum + 12 + record.length, 16);
      // The next one did not fit as a whole.
      if (found.length < records.length) expect(size).toBeLessThan(ends);
    }
    expect(damage).toBe(0);
    expect(cut).toBeGreaterThan(0);
  });

  test('a cut end of zeros or of garbage is no record', async () => {
    for (const end of [Buffer.alloc(5_000), Buffer.from('9d7ee10b05000000ffffffff68656c6c6f', 'hex')]) {
      const journal = await open();
      await appendAll(journal, ['one', 'two']);
      const [name = ''] = await segments();
      await writeFile(join(path, name), end, { flag: 'a' });
      const again = await open();
      expect(cut).toBe(end.length);
      expect(await drain(again)).toEqual(['one', 'two']);
      await again.close();
      cut = 0;
    }
    await writeFile(join(path, '000000000099.spool'), Buffer.alloc(5_000));
    expect(await drain(await open())).toEqual([]);
  });

  test('G4 says how much cannot be read where the disk has changed something, and gives the rest', async () => {
    const journal = await open();
    const records = texts(9);
    await appendAll(journal, records);
    await journal.close();
    const [name = ''] = await segments();
    const bytes = await readFile(join(path, name));
    const at = bytes.indexOf('record 4');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(join(path, name), bytes);
    const again = await open();
    expect(await drain(again, 1_000_000)).toEqual(records.filter((_, at) => at !== 4));
    expect(damage).toBe(12 + (records[4]?.length ?? 0));
    expect(cut).toBe(0);
  });

  test('does not take a file for a segment that is none', async () => {
    await writeFile(
      join(path, '000000000001.spool'),
      'TMSPOOL9 of another version, and longer than a header',
    );
    await expect(open()).rejects.toThrow('000000000001.spool cannot be used');
  });

  test('G5 takes up no more than its limit, refuses what is beyond it, and takes more when there is room again', async () => {
    const journal = await open(4_000);
    const outcomes = await Promise.allSettled(
      texts(200).map((record) => journal.append(Buffer.from(record))),
    );
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    for (const { reason } of refused) expect(reason).toBeInstanceOf(SpoolFullError);
    const sizes = await Promise.all(
      (await segments()).map(async (name) => (await readFile(join(path, name))).length),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(4_000);
    expect(journal.fill()).toBeGreaterThan(0.9);
    expect((await drain(journal)).length).toBe(200 - refused.length);
    await journal.append(Buffer.from('more'));
    expect(await drain(journal)).toEqual(['more']);
  });

  test('what comes while a sync is under way shares the next one', async () => {
    const disk = breakable(path);
    const journal = await open(1_000_000, disk.folder);
    await journal.append(Buffer.from('first'));
    const before = disk.counts.syncs;
    await appendAll(journal, texts(100));
    expect(disk.counts.syncs - before).toBeLessThanOrEqual(2);
    await journal.close();
  });

  test.each(['ENOSPC', 'EDQUOT', 'EFBIG'])(
    'G3 keeps nothing of what it refuses when the disk is full in the middle of a write (%s), and all it had',
    async (code) => {
      const disk = breakable(path);
      const journal = await open(1_000_000, disk.folder);
      await appendAll(journal, ['kept']);
      disk.failWrites(code, 40);
      const outcomes = await Promise.allSettled(
        ['a'.repeat(20), 'b'.repeat(20)].map((record) => journal.append(Buffer.from(record))),
      );
      for (const outcome of outcomes)
        expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'SpoolFullError' } });
      expect(journal.fill()).toBe(1);
      await expect(journal.append(Buffer.from('too soon'))).rejects.toBeInstanceOf(SpoolFullError);
      disk.mend();
      await clock.advance(1_001);
      expect(journal.fill()).toBeLessThan(1);
      await journal.append(Buffer.from('later'));
      const next = await open();
      expect(await drain(next)).toEqual(['kept', 'later']);
      expect([cut, damage]).toEqual([0, 0]);
    },
  );

  test('G1 acknowledges nothing when a sync fails, says that the outcome is unknown, and goes on in another segment', async () => {
    const disk = breakable(path);
    const journal = await open(1_000_000, disk.folder);
    await appendAll(journal, ['kept']);
    disk.failSyncs('EIO');
    await expect(journal.append(Buffer.from('unknown'))).rejects.toBeInstanceOf(SpoolWriteError);
    disk.mend();
    await journal.append(Buffer.from('later'));
    expect(await segments()).toHaveLength(2);
    expect(await drain(journal)).toEqual(['kept', 'later']);
  });

  test('a folder that takes no new file is full or broken, and recovers', async () => {
    const disk = breakable(path);
    const journal = await open(1_000_000, disk.folder);
    disk.failOpens('ENOSPC');
    await expect(journal.append(Buffer.from('no'))).rejects.toBeInstanceOf(SpoolFullError);
    await clock.advance(1_001);
    disk.failOpens('EACCES');
    await expect(journal.append(Buffer.from('no'))).rejects.toBeInstanceOf(SpoolWriteError);
    disk.mend();
    await journal.append(Buffer.from('yes'));
    expect(await drain(journal)).toEqual(['yes']);
  });
});

/** The folder on disk, whose operations fail when the test says so. */
function breakable(path: string) {
  const real = openSpoolFolder(path);
  const counts = { syncs: 0 };
  let failing: { writes?: string; afterBytes?: number; syncs?: string; opens?: string } = {};
  const fail = (code: string) => {
    throw Object.assign(new Error(`${code}: injected`), { code });
  };
  const wrap = (file: SpoolFile): SpoolFile => ({
    ...file,
    async write(bytes, position) {
      if (failing.writes === undefined) return file.write(bytes, position);
      await file.write(bytes.subarray(0, failing.afterBytes), position);
      fail(failing.writes);
    },
    async sync() {
      counts.syncs += 1;
      await file.sync();
      if (failing.syncs !== undefined) fail(failing.syncs);
    },
  });
  const folder: SpoolFolder = {
    ...real,
    async open(name) {
      if (failing.opens !== undefined) fail(failing.opens);
      return wrap(await real.open(name));
    },
  };
  return {
    folder,
    counts,
    failWrites: (code: string, afterBytes: number) => (failing = { writes: code, afterBytes }),
    failSyncs: (code: string) => (failing = { syncs: code }),
    failOpens: (code: string) => (failing = { opens: code }),
    mend: () => (failing = {}),
  };
}
