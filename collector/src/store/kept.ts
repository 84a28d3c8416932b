import { readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { StoredKey } from './keys.ts';
import type { AskingStream } from './settings.ts';

/**
 * A copy, beside the spool, of what a collector must know when Postgres is away: the keys, and what streams ask for of requests. Written when
 * they changed, a few seconds later at most, and used for up to a day. It has the hashes of keys, as the database has them, and none
 * that was revoked.
 */
export interface Kept {
  /** The key as Postgres last had it; undefined: unknown, or the copy is too old. */
  find(hash: Buffer): StoredKey | undefined;
  /** The streams that ask for something; none: the copy is too old. */
  asking(): readonly AskingStream[];
  /** Looks for changes every few seconds until the signal is aborted. Never rejects. */
  run(source: KeptSource, signal: AbortSignal): Promise<void>;
}

/** Where the copy is taken from. */
export interface KeptSource {
  /** Changes when anything of it does. */
  readonly fingerprint: () => Promise<string>;
  /** Keys that work, the newest first. */
  readonly keys: (limit: number) => Promise<readonly StoredKey[]>;
  readonly asking: () => Promise<readonly AskingStream[]>;
}

export interface KeptOptions {
  readonly folder: string;
  readonly clock: Pick<Clock, 'wallMicros' | 'monotonicMs' | 'sleep'>;
  readonly onFailure: (error: unknown) => void;
}

/** More keys than these are not kept; the newest are. */
const keysMax = 10_000;
const usedForMicros = 86_400_000_000n;
const lookEveryMs = 2_000;
/** So often the copy is written though nothing has changed, to say that it is up to date. */
const writeEveryMs = 300_000;
export const keptFileName = 'kept.json';

interface Copy {
  /** When Postgres was last asked, by this machine's clock. */
  readonly seenAt: bigint;
  readonly keys: ReadonlyMap<string, StoredKey>;
  readonly asking: readonly AskingStream[];
}

export function openKept({ folder, clock, onFailure }: KeptOptions): Kept {
  const path = join(folder, keptFileName);
  let copy = readCopy(path);
  let written: { readonly fingerprint: string; readonly atMs: number } | undefined;

  async function look(source: KeptSource): Promise<void> {
    const seenAt = clock.wallMicros();
    const fingerprint = await source.fingerprint();
    const changed = written?.fingerprint !== fingerprint;
    copy = changed
      ? { seenAt, keys: byHash(await source.keys(keysMax)), asking: await source.asking() }
      : { ...copy, seenAt };
    if (!changed && written !== undefined && clock.monotonicMs() - written.atMs < writeEveryMs) return;
    await writeCopy(path, copy);
    written = { fingerprint, atMs: clock.monotonicMs() };
  }

  const isFresh = (): boolean => clock.wallMicros() - copy.seenAt < usedForMicros;

  return {
    find: (hash) => (isFresh() ? copy.keys.get(hash.toString('hex')) : undefined),
    asking: () => (isFresh() ? copy.asking : []),
    async run(source, signal) {
      while (!signal.aborted) {
        await look(source).catch(onFailure);
        await clock.sleep(lookEveryMs, signal);
      }
    },
  };
}

function byHash(keys: readonly StoredKey[]): ReadonlyMap<string, StoredKey> {
  return new Map(keys.map((key) => [key.hash.toString('hex'), key]));
}

interface CopyOnDisk {
  readonly seenAt: string;
  readonly keys: readonly (Omit<StoredKey, 'hash' | 'revokedAt'> & { readonly hash: string })[];
  readonly asking: readonly AskingStream[];
}

/** Nothing can be read: nothing was kept. */
function readCopy(path: string): Copy {
  try {
    const { seenAt, keys, asking } = JSON.parse(readFileSync(path, 'utf8')) as CopyOnDisk;
    const stored = keys.map(({ hash, ...key }) => ({
      ...key,
      hash: Buffer.from(hash, 'hex'),
      revokedAt: null,
    }));
    return { seenAt: BigInt(seenAt), keys: byHash(stored), asking };
  } catch {
    return { seenAt: 0n, keys: new Map(), asking: [] };
  }
}

/** The old copy or the new one is there, whatever happens meanwhile. */
async function writeCopy(path: string, { seenAt, keys, asking }: Copy): Promise<void> {
  const content: CopyOnDisk = {
    seenAt: String(seenAt),
    keys: [...keys].map(([hash, key]) => ({
      hash,
      keyId: key.keyId,
      role: key.role,
      streams: key.streams,
      defaultStream: key.defaultStream,
      origins: key.origins,
      eventsPerSecond: key.eventsPerSecond,
      bytesPerSecond: key.bytesPerSecond,
    })),
    asking: asking.map(({ stream, clientIp, userAgent }) => ({ stream, clientIp, userAgent })),
  };
  const next = `${path}.next`;
  const file = await open(next, 'w', 0o600);
  try {
    await file.writeFile(JSON.stringify(content));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
}
