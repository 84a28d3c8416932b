import type { AppendRow } from '../store/append.ts';
import { type Appender, type RowOutcome, StoreFailure } from './append.ts';
import type { Journal, JournalRecord } from './spool-journal.ts';
import { decodeRows } from './spool-record.ts';

/**
 * Moves what is in the journal to Postgres, in its order, a transaction at a time. What it has moved it does not need to remember for sure: moved
 * again, events are duplicates.
 *
 * A record that Postgres does not take, though Postgres is there, goes to the end of the journal after a few tries, so that it does not hold up
 * what is behind it; one for a stream that somebody holds after one.
 */
export interface Drain {
  /** There is something to move. */
  hurry(): void;
  /** Resolves when what is under way has ended. */
  stop(): Promise<void>;
}

/** An event that the journal had and Postgres refused. */
export interface RejectedRow {
  readonly row: AppendRow;
  readonly outcome: Extract<RowOutcome, { outcome: 'rejected' }>;
}

export interface DrainDependencies {
  readonly appender: Pick<Appender, 'submit'>;
  readonly journal: Pick<Journal, 'read' | 'settle' | 'append'>;
  /** Keeps the dead letters. Its end is waited for before the journal forgets the events. */
  readonly onRejected: (rejected: readonly RejectedRow[]) => Promise<void>;
  readonly onMoved: (outcomes: readonly RowOutcome[], ms: number) => void;
  readonly onEmpty: () => void;
  /** Told when nothing could be moved; `postponed`: a record went to the end of the journal. */
  readonly onFailure: (error: unknown, postponed: boolean) => void;
  readonly monotonicMs: () => number;
  /** Resolves early when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** So much is moved in one transaction; a single record may have more. */
const transactionRows = 2_000;
const transactionBytes = 4_194_304;
const idleMs = 60_000;
const retryMsMin = 100;
const retryMsMax = 1_000;
/** After so many failures of a record alone, without Postgres being away, others go first. */
const triesMax = 5;

/** The sender in whose name events are moved: no key has this id. */
const sender = 'spool';

export function startDrain(dependencies: DrainDependencies): Drain {
  const { appender, journal, monotonicMs } = dependencies;
  let stopped = false;
  let hurried = false;
  let idling = false;
  let pause = new AbortController();
  let retryMs = retryMsMin;
  /** How often the oldest record was refused without Postgres being away. */
  let refusals = 0;
  /** What was tried last was one record. */
  let alone = false;
  /** Streams that somebody held when they were tried last: records for them are tried alone. */
  const held = new Set<string>();

  async function run(): Promise<void> {
    while (!stopped) {
      hurried = false;
      try {
        const moved = await move();
        retryMs = retryMsMin;
        if (moved || hurried) continue;
        idling = true;
        await rest(idleMs);
        idling = false;
      } catch (error) {
        if (stopped) return;
        const postponed = await postpone(error).catch(() => false);
        dependencies.onFailure(error, postponed);
        await rest(retryMs);
        retryMs = Math.min(retryMsMax, retryMs * 2);
      }
    }
  }

  /** False: there is nothing to move. */
  async function move(): Promise<boolean> {
    const records = await journal.read(transactionBytes);
    const rows: AppendRow[] = [];
    let last: JournalRecord | undefined;
    for (const record of records) {
      const more = decodeRows(record.bytes);
      const isHeld = held.size > 0 && more.some(({ stream }) => held.has(stream));
      if (last !== undefined && (rows.length + more.length > transactionRows || refusals > 0 || isHeld))
        break;
      rows.push(...more);
      alone = last === undefined;
      last = record;
      if (isHeld) break;
    }
    if (last === undefined) {
      dependencies.onEmpty();
      return false;
    }
    const startedMs = monotonicMs();
    const outcomes = await appender.submit(rows, sender);
    const ms = monotonicMs() - startedMs;
    const rejected = rows.flatMap((row, at) => {
      const outcome = outcomes[at];
      return outcome?.outcome === 'rejected' ? [{ row, outcome }] : [];
    });
    if (rejected.length > 0) await dependencies.onRejected(rejected);
    await journal.settle(last.end);
    refusals = 0;
    if (held.size > 0) for (const { stream } of rows) held.delete(stream);
    dependencies.onMoved(outcomes, ms);
    return true;
  }

  async function postpone(error: unknown): Promise<boolean> {
    if (!(error instanceof StoreFailure) || error.failure === 'unavailable') return false;
    refusals += 1;
    const isHeld = error.failure === 'held_up' && alone;
    if (refusals <= triesMax && !isHeld) return false;
    const [oldest] = await journal.read(1);
    if (oldest === undefined) return false;
    if (isHeld) for (const { stream } of decodeRows(oldest.bytes)) held.add(stream);
    await journal.append(oldest.bytes);
    await journal.settle(oldest.end);
    refusals = 0;
    return true;
  }

  async function rest(ms: number): Promise<void> {
    if (stopped) return;
    pause = new AbortController();
    await dependencies.sleep(ms, pause.signal);
  }

  const running = run();
  return {
    hurry() {
      hurried = true;
      if (idling) pause.abort();
    },
    async stop() {
      stopped = true;
      pause.abort();
      await running;
    },
  };
}
