import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { createKeyFinder } from '../../../collector/src/store/key-finder.ts';
import { openKept } from '../../../collector/src/store/kept.ts';
import type { StoredKey } from '../../../collector/src/store/keys.ts';
import { createFakeClock, type FakeClock } from '../../harness/clock.ts';
import { eventually } from '../../harness/eventually.ts';

let folder: string;
let clock: FakeClock;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-kept-'));
  clock = createFakeClock();
  return () => rm(folder, { recursive: true, force: true });
});

const key = (name: string): StoredKey => ({
  keyId: `id of ${name}`,
  hash: Buffer.from(name.padEnd(32)),
  role: 'write',
  streams: ['orders-*'],
  defaultStream: 'orders',
  origins: ['https://example.com'],
  eventsPerSecond: 5,
  bytesPerSecond: null,
  revokedAt: null,
});
const asking = { stream: 'orders', clientIp: 'truncated', userAgent: true } as const;
const hashOf = (name: string) => key(name).hash;

function open() {
  return openKept({ folder, clock, onFailure: (error) => expect.soft(error).toBeUndefined() });
}

/** Keeps what Postgres has now. */
async function keep(...names: string[]): Promise<void> {
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const kept = open();
  void kept.run(
    {
      fingerprint: async () => names.join(),
      keys: async () => names.map(key),
      asking: async () => [asking],
    },
    stop.signal,
  );
  const written = async () => (await readFile(join(folder, 'kept.json'), 'utf8').catch(() => '')) !== '';
  await eventually('they are written', written);
  stop.abort();
}

describe('what is kept', () => {
  test('G12 is what Postgres last had, for a day: keys, and what streams ask for', async () => {
    await keep('one', 'two');
    const kept = open();
    expect(kept.find(hashOf('one'))).toEqual(key('one'));
    expect(kept.find(hashOf('three'))).toBeUndefined();
    expect(kept.asking()).toEqual([asking]);
    await clock.advance(86_399_000);
    expect(kept.find(hashOf('two'))).toEqual(key('two'));
    await clock.advance(2_000);
    expect([kept.find(hashOf('two')), kept.asking()]).toEqual([undefined, []]);
  });

  test('is for the eyes of the collector only, and of keys has hashes', async () => {
    await keep('one');
    const path = join(folder, 'kept.json');
    expect((await stat(path)).mode & 0o077).toBe(0);
    expect(await readFile(path, 'utf8')).toContain(hashOf('one').toString('hex'));
  });

  test('is nothing where nothing was kept, or what was kept cannot be read', async () => {
    expect(open().find(hashOf('one'))).toBeUndefined();
    await writeFile(join(folder, 'kept.json'), '{"seenAt":"17672256');
    expect(open().find(hashOf('one'))).toBeUndefined();
  });
});

describe('a key is looked up', () => {
  const unavailable = Object.assign(new Error('gone'), { code: 'ECONNREFUSED' });

  function finder(find: () => Promise<StoredKey | undefined>, away = false) {
    const kept = { find: (hash: Buffer) => (hash.equals(hashOf('kept')) ? key('kept') : undefined) };
    return createKeyFinder({ find }, clock, { kept, away: () => away });
  }

  test('in Postgres while it is there: what was revoked does not work although it is kept', async () => {
    const look = finder(async () => undefined);
    expect(await look(hashOf('kept'))).toBeUndefined();
  });

  test('in the copy when Postgres fails, does not answer, or is known to be away', async () => {
    expect(await finder(() => Promise.reject(unavailable))(hashOf('kept'))).toEqual(key('kept'));
    const never = () => new Promise<undefined>(() => undefined);
    const found = finder(never)(hashOf('kept'));
    await clock.advance(600);
    expect(await found).toEqual(key('kept'));
    expect(await finder(never, true)(hashOf('kept'))).toEqual(key('kept'));
    expect(clock.waiting()).toBe(0);
  });

  test('in vain when neither knows: Postgres being away is not the same as no such key', async () => {
    await expect(finder(() => Promise.reject(unavailable))(hashOf('other'))).rejects.toBe(unavailable);
    const broken = new Error('no such column');
    await expect(finder(() => Promise.reject(broken))(hashOf('kept'))).rejects.toBe(broken);
  });
});
