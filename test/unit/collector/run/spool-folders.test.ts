import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { abandonedFolders, inheritKept, workerSpool } from '../../../../collector/src/run/spool-folders.ts';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tidemark-folders-'));
});

afterEach(() => rm(root, { recursive: true, force: true }));

async function put(folder: string, ...names: string[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of names) await writeFile(join(folder, name), name);
}

test('folders with events are left behind by another number of workers, and those of ours are not', async () => {
  await put(root, '000000000001.spool', 'kept.json');
  for (const number of [1, 2, 3, 10]) await put(workerSpool(root, number), '000000000007.spool');
  await put(workerSpool(root, 4), 'drained', 'kept.json');
  await put(join(root, 'worker-five'), '000000000007.spool');
  const worker = (number: number) => workerSpool(root, number);
  expect((await abandonedFolders(root, 1)).toSorted()).toEqual(
    [worker(1), worker(10), worker(2), worker(3)].sort(),
  );
  expect((await abandonedFolders(root, 2)).toSorted()).toEqual([root, worker(10), worker(3)].sort());
  expect(await abandonedFolders(root, 16)).toEqual([root]);
  expect(await abandonedFolders(join(root, 'none'), 2)).toEqual([]);
});

test('a new worker takes over the newest copy of keys, and one that has its own keeps it', async () => {
  await put(root, 'kept.json');
  await put(workerSpool(root, 1));
  await writeFile(join(workerSpool(root, 1), 'kept.json'), 'newest');
  await utimes(join(root, 'kept.json'), 1, 1);
  await inheritKept(workerSpool(root, 2));
  const read = (folder: string) => readFile(join(folder, 'kept.json'), 'utf8');
  expect(await read(workerSpool(root, 2))).toBe('newest');
  await writeFile(join(workerSpool(root, 1), 'kept.json'), 'newer still');
  await inheritKept(workerSpool(root, 2));
  expect(await read(workerSpool(root, 2))).toBe('newest');
});

test('where there is no copy of keys a worker begins without one', async () => {
  await inheritKept(workerSpool(root, 1));
  await expect(readFile(join(workerSpool(root, 1), 'kept.json'))).rejects.toThrow('ENOENT');
});
