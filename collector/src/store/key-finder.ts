import type { Clock } from '../clock.ts';
import { failureOf } from './failure.ts';
import type { Kept } from './kept.ts';
import type { Keys, StoredKey } from './keys.ts';

/** A copy of the keys for the time when Postgres is away. */
export interface KeyCopy {
  readonly kept: Pick<Kept, 'find'>;
  /** Postgres is known to be away. */
  readonly away: () => boolean;
}

/** Whoever has a copy does not wait for Postgres longer than this, milliseconds. */
const patienceMs = 500;

/** Finds stored keys: in Postgres, and in the copy, where there is one, when Postgres does not answer. Rejects when neither knows. */
export function createKeyFinder(
  keys: Pick<Keys, 'find'>,
  { sleep }: Pick<Clock, 'sleep'>,
  copy: KeyCopy | undefined,
): (hash: Buffer) => Promise<StoredKey | undefined> {
  if (copy === undefined) return (hash) => keys.find(hash);
  const { kept, away } = copy;

  return async (hash) => {
    const known = kept.find(hash);
    if (known === undefined) return keys.find(hash);
    if (away()) return known;
    const answered = new AbortController();
    try {
      const late = sleep(patienceMs, answered.signal).then(() => known);
      return await Promise.race([keys.find(hash), late]);
    } catch (error) {
      if (failureOf(error) !== 'unavailable') throw error;
      return known;
    } finally {
      answered.abort();
    }
  };
}
