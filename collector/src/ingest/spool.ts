import type { AppendRow } from '../store/append.ts';
import { type Appender, type RowOutcome, StoreFailure } from './append.ts';
import { type Journal, SpoolFullError } from './spool-journal.ts';
import { encodeRows } from './spool-record.ts';
import type { Submit, Submitted } from './submit.ts';

/**
 * Spool mode: what Postgres does not take in time goes to the journal on this machine's disk, and the drain moves it to Postgres later.
 *
 * Each request is tried at Postgres first, for `afterMs`, if not too much waits for it already. The first one that fails or waits longer says that Postgres is away, or too
 * slow; then all that waits goes to the journal, and so does what comes, until the drain has moved something in good time. A request that was
 * being written when we gave it up may be stored as well: its ids, which are made before, see to it that it is stored once.
 */
export interface Spool {
  readonly submit: Submit;
  /** Postgres is away or too slow: what comes goes to the journal. */
  readonly away: () => boolean;
  /** 0–1: how much of the room there is the journal takes up. */
  readonly fill: () => number;
  /** Rows that wait to be in the journal: of a sender, or of all. */
  readonly waitingRows: (sender?: string) => number;
  /** Why a request cannot be taken now, or undefined. */
  readonly refusal: () => string | undefined;
  /** Told by the drain how long moving something took. */
  moved(ms: number): void;
  /** Told by the drain why Postgres did not take something. */
  failed(error: unknown): void;
  /** Told by the drain that nothing is left to be moved. */
  drained(): void;
  /** Stops looking at how long requests wait. */
  stop(): void;
}

export interface SpoolDependencies {
  readonly appender: Pick<Appender, 'submit' | 'withdraw' | 'waitingRows'>;
  readonly journal: Pick<Journal, 'append' | 'fill'>;
  readonly monotonicMs: () => number;
  readonly every: (ms: number, task: () => void) => () => void;
  /** Told of what is in the journal now. */
  readonly onSpooled: (events: number) => void;
  /** Told when Postgres is given up, and when it is back. */
  readonly onAway: (away: boolean) => void;
}

export interface SpoolOptions {
  /** From so much of the journal on, 0–1, there may be no room for a batch of the largest size. */
  readonly fullFrom: number;
  /** How long a request may wait for Postgres, milliseconds. */
  readonly afterMs: number;
  /** When so many rows wait for Postgres already, what comes does not wait behind them. */
  readonly waitingRowsMax: number;
}

/** A request that is tried at Postgres. */
interface Attempt {
  readonly rows: readonly AppendRow[];
  readonly sinceMs: number;
  readonly end: (result: Result) => void;
}

type Result =
  | { readonly kind: 'committed'; readonly outcomes: readonly RowOutcome[] }
  /** Nothing of it was stored. */
  | { readonly kind: 'withdrawn' }
  /** It is still being written. */
  | { readonly kind: 'late' }
  | { readonly kind: 'failed'; readonly error: StoreFailure };

const stored: RowOutcome = { outcome: 'stored' };

export function createSpool(
  dependencies: SpoolDependencies,
  { fullFrom, afterMs, waitingRowsMax }: SpoolOptions,
): Spool {
  const { appender, journal, monotonicMs } = dependencies;
  const attempts = new Set<Attempt>();
  let isAway = false;
  /** Rows that are on their way into the journal, and whose they are. */
  let keeping = 0;
  const keepingOf = new Map<string, number>();

  function setAway(away: boolean): void {
    if (isAway === away) return;
    isAway = away;
    dependencies.onAway(away);
    if (!away) return;
    for (const attempt of [...attempts])
      if (appender.withdraw(attempt.rows)) attempt.end({ kind: 'withdrawn' });
  }

  async function submit(rows: readonly AppendRow[], sender: string): Promise<Submitted> {
    if (rows.length === 0) return { durability: 'committed', outcomes: [] };
    if (isAway || appender.waitingRows() >= waitingRowsMax) return keep(rows, sender);
    const trial = attempt(rows, sender);
    const result = await trial.result;
    if (result.kind === 'committed') return { durability: 'committed', outcomes: result.outcomes };
    try {
      return await keep(rows, sender);
    } catch (error) {
      if (result.kind === 'withdrawn' || !(error instanceof SpoolFullError)) throw error;
      // It may be stored: it would be untrue to say that nothing was.
      if (result.kind === 'failed') throw result.error;
      return { durability: 'committed', outcomes: await trial.committed };
    }
  }

  async function keep(rows: readonly AppendRow[], sender: string): Promise<Submitted> {
    changeKeeping(rows.length, sender);
    try {
      await journal.append(encodeRows(rows));
    } finally {
      changeKeeping(-rows.length, sender);
    }
    dependencies.onSpooled(rows.length);
    return { durability: 'spooled', outcomes: rows.map(() => stored) };
  }

  function changeKeeping(rows: number, sender: string): void {
    keeping += rows;
    const own = (keepingOf.get(sender) ?? 0) + rows;
    if (own === 0) keepingOf.delete(sender);
    else keepingOf.set(sender, own);
  }

  function attempt(rows: readonly AppendRow[], sender: string) {
    const committed = appender.submit(rows, sender);
    const result = new Promise<Result>((resolve, reject) => {
      const own: Attempt = {
        rows,
        sinceMs: monotonicMs(),
        end(result) {
          attempts.delete(own);
          resolve(result);
        },
      };
      attempts.add(own);
      committed.then(
        (outcomes) => own.end({ kind: 'committed', outcomes }),
        (error: unknown) => {
          attempts.delete(own);
          // A fault of ours is not mended by trying it again later.
          if (!(error instanceof StoreFailure) || error.failure === 'broken') return reject(error);
          if (error.failure === 'unavailable') setAway(true);
          own.end({ kind: 'failed', error });
        },
      );
    });
    return { committed, result };
  }

  /** Attempts are in the order in which they began. */
  function giveUpLate(): void {
    const late = monotonicMs() - afterMs;
    for (const own of [...attempts]) {
      if (own.sinceMs > late) break;
      own.end({ kind: appender.withdraw(own.rows) ? 'withdrawn' : 'late' });
      setAway(true);
    }
  }

  const fill = (): number => Math.min(1, journal.fill() / fullFrom);

  return {
    submit,
    away: () => isAway,
    fill,
    waitingRows: (sender) => (sender === undefined ? keeping : (keepingOf.get(sender) ?? 0)),
    refusal() {
      if (!isAway || fill() < 1) return undefined;
      return 'Postgres is away and the spool is full';
    },
    moved(ms) {
      if (ms <= afterMs) setAway(false);
    },
    failed(error) {
      if (error instanceof StoreFailure && error.failure === 'unavailable') setAway(true);
    },
    drained() {
      if (keeping === 0) setAway(false);
    },
    stop: dependencies.every(Math.min(100, afterMs), giveUpLate),
  };
}
