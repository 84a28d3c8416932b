import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { lockDataDir } from '../../collector/src/store/embedded-lock.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-lock-'));
  return () => rm(folder, { recursive: true, force: true });
});

test('a folder has one holder at a time, and is free again when that one releases it', async () => {
  const first = await lockDataDir(folder);
  await expect(lockDataDir(folder)).rejects.toMatchObject({ code: 'data_dir_in_use' });
  await first.release();
  const second = await lockDataDir(folder);
  await expect(lockDataDir(folder)).rejects.toMatchObject({ code: 'data_dir_in_use' });
  await second.release();
});

test('of many that find a dead holder at once one wins', async () => {
  for (let round = 1; round <= 50; round += 1) {
    await leaveDeadHolder(round * 10);
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataDir(folder)));
    const won = tries.filter((outcome) => outcome.status === 'fulfilled');
    const refused = tries.filter((outcome) => outcome.status === 'rejected');
    expect(won).toHaveLength(1);
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'data_dir_in_use' });
    for (const { value } of won) await value.release();
  }
});

test('many that take it in turn never hold it together', async () => {
  let holders = 0;
  let turns = 0;
  const takeTurns = async () => {
    while (turns < 100) {
      const lock = await lockDataDir(folder).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'data_dir_in_use' });
      });
      if (lock === undefined) continue;
      holders += 1;
      turns += 1;
      expect(holders).toBe(1);
      await readdir(folder);
      holders -= 1;
      await lock.release();
    }
  };
  await Promise.all(Array.from({ length: 6 }, takeTurns));
});

// So that whoever looked before a release and acts after it cannot make a number that somebody else holds again.
test('a number is never used twice', async () => {
  const used = new Set<string>();
  for (let turn = 1; turn <= 5; turn += 1) {
    const lock = await lockDataDir(folder);
    const names = await readdir(folder);
    expect(names).toHaveLength(1);
    for (const name of names) expect(used.has(name)).toBe(false);
    for (const name of names) used.add(name);
    await lock.release();
  }
});

test('who was too slow yields to a higher number', async () => {
  const path = await leaveHolder({});
  const living = await readFile(path, 'utf8');
  const elsewhere: object = { ...(JSON.parse(living) as object), place: 'elsewhere' };
  await writeFile(path, JSON.stringify(elsewhere));
  const slow = lockDataDir(folder);
  // Another one's whole turn, so that the slow one has looked and now watches for a sign of life.
  const aside = join(folder, 'aside');
  await mkdir(aside);
  await (await lockDataDir(aside)).release();
  await writeFile(join(folder, 'collector.lock.99'), living);
  await expect(slow).rejects.toMatchObject({ code: 'data_dir_in_use' });
  expect(await readdir(folder)).toContain('collector.lock.99');
});

test('a process that got the id of a dead holder is not taken for it', async () => {
  await leaveHolder({ started: 'another time' });
  const lock = await lockDataDir(folder);
  await lock.release();
});

test('a holder in another container or on another machine counts while it touches its file', async () => {
  const path = await leaveHolder({ place: 'elsewhere' });
  let touches = 0;
  const touching = setInterval(() => {
    touches += 1;
    void utimes(path, touches, touches);
  }, 200);
  onTestFinished(() => clearInterval(touching));
  await expect(lockDataDir(folder)).rejects.toMatchObject({
    code: 'data_dir_in_use',
    message: expect.stringContaining('on elsewhere'),
  });
  clearInterval(touching);
  const lock = await lockDataDir(folder);
  await lock.release();
});

test('a file that a crash left without content does not keep the folder for ever', async () => {
  await writeFile(join(folder, 'collector.lock.7'), '');
  const lock = await lockDataDir(folder);
  expect(await readdir(folder)).toEqual(['collector.lock.8']);
  await lock.release();
});

test('waiting for a sign of life ends when it is told to', async () => {
  await leaveHolder({ place: 'elsewhere' });
  const stopping = new AbortController();
  const lock = lockDataDir(folder, stopping.signal);
  stopping.abort();
  await expect(lock).rejects.toThrow('aborted');
});

// As this very process would have left it, with one fact changed.
async function leaveHolder(changed: Record<string, unknown>): Promise<string> {
  const lock = await lockDataDir(folder);
  const [name = ''] = await readdir(folder);
  const path = join(folder, name);
  const holder = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await lock.release();
  await writeFile(path, JSON.stringify({ ...holder, ...changed }));
  return path;
}

async function leaveDeadHolder(number: number): Promise<void> {
  const path = await leaveHolder({ started: 'another time' });
  await writeFile(join(folder, `collector.lock.${number}`), await readFile(path));
  await rm(path);
}
