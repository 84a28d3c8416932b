import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeptEvent } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readSegment } from '../../../sdk-node/src/segment.ts';
import { createSpool, type Spool } from '../../../sdk-node/src/spool.ts';

let folder: string;
let spool: Spool;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-spool-'));
  spool = createSpool(folder, 1_048_576);
});

afterEach(async () => {
  await spool.close();
  await rm(folder, { recursive: true, force: true });
});

const kept = (sequence: number, triedAtMs?: number): KeptEvent => {
  const event = [sequence, `{"name":"event","id":"${sequence}"}`, 1_000] as const;
  return triedAtMs === undefined ? event : [...event, triedAtMs];
};

async function onDisk(): Promise<KeptEvent[]> {
  const files = (await readdir(spool.folder)).filter((name) => name.endsWith('.ndjson')).sort();
  const segments = await Promise.all(files.map((name) => readSegment(join(spool.folder, name))));
  return segments.flatMap(({ events }) => events);
}

describe('a spool', () => {
  test('G4 keeps a lone event that is saved once more, as what it is now', async () => {
    expect(await spool.save([kept(0)])).toBe(1);
    expect(await spool.save([kept(0, 2_000)])).toBe(1);
    await spool.settled();
    expect(await onDisk()).toEqual([kept(0, 2_000)]);
    spool.remove([0]);
    await spool.settled();
    expect(await onDisk()).toEqual([]);
  });

  test('has no file any more when the last of its events has met its end', async () => {
    await spool.save([kept(0), kept(1), kept(2)]);
    spool.remove([0, 2]);
    await spool.settled();
    expect(await onDisk()).toEqual([kept(1)]);
    spool.remove([1]);
    await spool.settled();
    expect(await readdir(spool.folder)).toEqual([]);
  });

  test('keeps as many as it has room for, the first ones, and has room again when they are gone', async () => {
    await spool.close();
    spool = createSpool(folder, 200);
    const many = Array.from({ length: 10 }, (_, index) => kept(index));
    const count = await spool.save(many);
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(10);
    expect(await onDisk()).toEqual(many.slice(0, count));
    spool.remove(many.slice(0, count).map(([sequence]) => sequence));
    expect(await spool.save(many.slice(count, count + 1))).toBe(1);
  });
});
