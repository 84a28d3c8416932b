import type { Clock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';

/** The key behind a reply that stays open. */
export interface KeyWatch {
  /**
   * Aborted when the key was revoked, at most 5 s later. Its reason is the ProblemError that says so, for
   * `revoked.throwIfAborted()`.
   */
  readonly revoked: AbortSignal;
  /** To be called when the reply has ended. */
  readonly stop: () => void;
}

export interface KeyWatchesDependencies {
  /** Whether the key with this hash works; rejects when nobody can tell. */
  readonly works: (hash: string) => Promise<boolean>;
  readonly clock: Pick<Clock, 'every'>;
}

const lookEveryMs = 1_000;

/**
 * Looks at the keys of open replies once a second: once for each key, however many replies it has, and not at all while nothing is
 * open. While nobody can tell, replies stay open: the database that cannot say whether a key works gives no events either.
 */
export function createKeyWatches({ works, clock }: KeyWatchesDependencies): (hash: string) => KeyWatch {
  const watched = new Map<string, Set<AbortController>>();
  let stopLooking: (() => void) | undefined;

  async function look(hash: string): Promise<void> {
    if (await works(hash).catch(() => true)) return;
    const watches = watched.get(hash) ?? [];
    forget(hash);
    for (const watch of watches) watch.abort(revoked());
  }

  function forget(hash: string): void {
    watched.delete(hash);
    if (watched.size > 0) return;
    stopLooking?.();
    stopLooking = undefined;
  }

  return function watch(hash) {
    const own = new AbortController();
    const watches = watched.get(hash) ?? new Set();
    watched.set(hash, watches.add(own));
    stopLooking ??= clock.every(lookEveryMs, () => {
      for (const one of watched.keys()) void look(one);
    });
    return {
      revoked: own.signal,
      stop() {
        // After a revocation there may be new watches of the same key, which are not ours to forget.
        if (watches.delete(own) && watches.size === 0 && watched.get(hash) === watches) forget(hash);
      },
    };
  };
}

function revoked(): ProblemError {
  return new ProblemError(createProblem('unauthenticated', 'The key was revoked while the reply was open.'));
}
