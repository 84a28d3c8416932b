import type { AppendRow } from '../store/append.ts';
import type { Failure } from '../store/failure.ts';
import { createFairQueue } from './fair-queue.ts';
import { createHeldUp, type Submission } from './held-up.ts';

/**
 * Group commit: what waits when a writer becomes free goes into its next transaction together, up to a size. A submission is
 * answered when its own transaction has ended, and is never split, so that its outcome is one.
 *
 * A group that fails for a value in it is tried again submission by submission, and then event by event: the culprit is
 * rejected, its neighbours are stored. Of two copies of an id in a group the one that was submitted first is stored.
 *
 * A stream that somebody else holds holds up nothing but itself: what is for it is set aside, and tried again by a writer of its own.
 */
export interface Appender {
  /**
   * The outcome of each row, in the order given. Rejects with `StoreFailure` when the outcome as a whole is not known to be stored.
   * Senders take turns.
   */
  submit(rows: readonly AppendRow[], sender: string): Promise<readonly RowOutcome[]>;
  /**
   * Takes back what waits: nothing of it was stored, and nothing will be; its promise never settles. False: it is being written, or has
   * ended.
   */
  withdraw(rows: readonly AppendRow[]): boolean;
  /** How long the oldest submission has been waiting for a writer, in milliseconds: of a sender, or of all. Without what is set aside. */
  oldestWaitMs(sender?: string): number;
  /** Rows that wait for a writer: of a sender, or of all. Without what is set aside. */
  waitingRows(sender?: string): number;
  /** Rows that are set aside. */
  readonly heldUpRows: number;
  /** Resolves when everything submitted has ended. */
  drained(): Promise<void>;
}

export type RowOutcome =
  | { readonly outcome: 'stored' }
  | { readonly outcome: 'duplicate' }
  | {
      readonly outcome: 'rejected';
      readonly code: 'unstorable' | 'too_many_streams' | 'schema_mismatch';
      readonly message: string;
    };

/** The rows are not known to be stored: the client may send them again. */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure';
  readonly failure: Failure;

  constructor(failure: Failure, cause: unknown) {
    super(`The store failed: ${failure}`, { cause });
    this.failure = failure;
  }
}

export interface AppenderDependencies {
  /** Why rows may not be stored; those that are missing may. */
  readonly refusalsOf: (rows: readonly AppendRow[]) => Promise<ReadonlyMap<AppendRow, string>>;
  readonly append: (rows: readonly AppendRow[], streamIds: readonly number[]) => Promise<readonly number[]>;
  readonly ensureStreams: (names: ReadonlySet<string>) => Promise<ReadonlyMap<string, number>>;
  readonly forgetStreams: (names: Iterable<string>) => void;
  /** Makes the partitions that these rows need. */
  readonly makePartitions: (rows: readonly AppendRow[]) => Promise<unknown>;
  readonly failureOf: (error: unknown) => Failure;
  /** Of these streams, those that somebody holds or is about to hold exclusively. */
  readonly heldStreams: (streamIds: readonly number[]) => Promise<ReadonlySet<number>>;
  readonly sleep: (ms: number) => Promise<void>;
  readonly monotonicMs: () => number;
  readonly onGroup: (rows: number, milliseconds: number) => void;
}

export interface AppenderOptions {
  /** Transactions under way at once, without the one for streams that are held. */
  readonly writers: number;
  /** Rows that a transaction takes on; each KiB of props beyond the first counts as one more. A single submission may have more. */
  readonly groupRows: number;
  /** So long a submission waits for a stream that is held, milliseconds; one attempt is always made. */
  readonly heldUpMsMax: number;
}

interface Pending extends Submission {
  resolve(outcomes: readonly RowOutcome[]): void;
  reject(failure: StoreFailure): void;
}

/** Between attempts at what is held. */
const heldUpPauseMs = 20;

/** How often a transaction may be tried. Nothing of it was stored: of many streams in a group each may be deleted in turn. */
const attemptsMax: ReadonlyMap<Failure, number> = new Map([
  ['stream_gone', 5],
  ['no_partition', 2],
  ['transient', 2],
]);

const stored: RowOutcome = { outcome: 'stored' };
const duplicate: RowOutcome = { outcome: 'duplicate' };

export function createAppender(dependencies: AppenderDependencies, options: AppenderOptions): Appender {
  const queue = createFairQueue<Pending>();
  const heldUp = createHeldUp<Pending>();
  let trying = false;
  const waiting = new Map<readonly AppendRow[], Pending>();
  /** Asked for once, however often a row is tried. */
  const refusals = new WeakMap<AppendRow, string>();
  let writing = 0;
  let idle: (() => void)[] = [];

  function pump(): void {
    while (writing < options.writers && queue.length > 0) {
      writing += 1;
      void writeGroup(queue.take(options.groupRows)).finally(() => {
        writing -= 1;
        settle();
        pump();
      });
    }
  }

  function settle(): void {
    if (writing > 0 || trying || queue.length > 0) return;
    for (const resolve of idle) resolve();
    idle = [];
  }

  async function writeGroup(group: readonly Pending[]): Promise<void> {
    let left: readonly Pending[] = group.filter((submission) => !heldUp.join(submission));
    while (left.length > 0) {
      for (const { rows } of left) waiting.delete(rows);
      const held = await write(left);
      if (held === undefined) break;
      left = setAside(left, held);
    }
    void tryHeldUp();
  }

  /** Answers with those that need not wait. */
  function setAside(group: readonly Pending[], held: ReadonlySet<string>): readonly Pending[] {
    const rest = heldUp.keep(group, held);
    const going = new Set(rest);
    for (const submission of group) if (!going.has(submission)) waiting.set(submission.rows, submission);
    return rest;
  }

  /** Tries what is set aside again, in turns, until nothing is. */
  async function tryHeldUp(): Promise<void> {
    if (trying || heldUp.isEmpty) return;
    trying = true;
    while (!heldUp.isEmpty) {
      const group = heldUp.next() ?? [];
      for (const { rows } of group) waiting.delete(rows);
      const held = await write(group);
      if (held === undefined) {
        for (const submission of heldUp.written(group)) queue.push(submission);
      } else {
        for (const submission of setAside(group, held)) enqueue(submission);
        for (const submission of heldUp.expire(dependencies.monotonicMs() - options.heldUpMsMax)) {
          waiting.delete(submission.rows);
          submission.reject(new StoreFailure('held_up', undefined));
        }
        await dependencies.sleep(heldUpPauseMs);
      }
      pump();
    }
    trying = false;
    settle();
  }

  function enqueue(submission: Pending): void {
    waiting.set(submission.rows, submission);
    if (heldUp.join(submission)) void tryHeldUp();
    else queue.push(submission);
  }

  /** Answers, when nothing of the group was stored because somebody else holds a stream, with the streams that are: none where it is not known which. */
  async function write(group: readonly Pending[]): Promise<ReadonlySet<string> | undefined> {
    const rows = group.flatMap((submission) => submission.rows);
    try {
      for (const [row, message] of await dependencies.refusalsOf(rows)) refusals.set(row, message);
      const outcomes = await appendAll(rows);
      let start = 0;
      for (const submission of group) {
        const end = start + submission.rows.length;
        submission.resolve(outcomes.slice(start, end));
        start = end;
      }
    } catch (error) {
      const failure = dependencies.failureOf(error);
      if (failure === 'held_up') return findHeld(rows);
      if (failure === 'data') for (const submission of group) await writeAlone(submission);
      else for (const submission of group) submission.reject(new StoreFailure(failure, error));
    }
    return undefined;
  }

  async function findHeld(rows: readonly AppendRow[]): Promise<ReadonlySet<string>> {
    try {
      const names = new Set(rows.map((row) => row.stream));
      const streamIds = await dependencies.ensureStreams(names);
      const held = await dependencies.heldStreams([...names].map((name) => streamIds.get(name) ?? 0));
      return new Set([...names].filter((name) => held.has(streamIds.get(name) ?? 0)));
    } catch {
      return new Set();
    }
  }

  async function writeAlone(submission: Pending): Promise<void> {
    try {
      submission.resolve(await appendAll(submission.rows));
    } catch (error) {
      const failure = dependencies.failureOf(error);
      if (failure !== 'data') submission.reject(new StoreFailure(failure, error));
      else await writeOneByOne(submission);
    }
  }

  async function writeOneByOne(submission: Pending): Promise<void> {
    const outcomes: RowOutcome[] = [];
    for (const row of submission.rows) {
      try {
        outcomes.push(...(await appendAll([row])));
      } catch (error) {
        const failure = dependencies.failureOf(error);
        if (failure !== 'data') {
          submission.reject(new StoreFailure(failure, error));
          return;
        }
        const message =
          'Postgres cannot hold a value of this event: the other events of the batch are stored';
        outcomes.push({ outcome: 'rejected', code: 'unstorable', message });
      }
    }
    submission.resolve(outcomes);
  }

  /** One transaction; when its streams or partitions turn out to be missing, made and tried again. */
  async function appendAll(rows: readonly AppendRow[], attempt = 1): Promise<readonly RowOutcome[]> {
    try {
      return await appendOnce(rows);
    } catch (error) {
      const failure = dependencies.failureOf(error);
      if (attempt >= (attemptsMax.get(failure) ?? 1)) throw error;
      if (failure === 'stream_gone') dependencies.forgetStreams(rows.map((row) => row.stream));
      else if (failure === 'no_partition') await dependencies.makePartitions(rows);
      return appendAll(rows, attempt + 1);
    }
  }

  async function appendOnce(rows: readonly AppendRow[]): Promise<readonly RowOutcome[]> {
    const outcomes: RowOutcome[] = new Array(rows.length).fill(stored);
    const streamIds = await dependencies.ensureStreams(new Set(rows.map((row) => row.stream)));
    const ordered = inEventTimeOrder(rows, chooseRows(rows, streamIds, refusals, outcomes));
    if (ordered.length === 0) return outcomes;

    const startedMs = dependencies.monotonicMs();
    const taken = await dependencies.append(
      ordered.map(({ row }) => row),
      ordered.map(({ row }) => streamIds.get(row.stream) ?? 0),
    );
    dependencies.onGroup(ordered.length, dependencies.monotonicMs() - startedMs);
    for (const position of taken) {
      const at = ordered[position]?.at;
      if (at !== undefined) outcomes[at] = duplicate;
    }
    return outcomes;
  }

  return {
    submit(rows, sender) {
      if (rows.length === 0) return Promise.resolve([]);
      if (heldUp.rows >= options.groupRows && heldUp.concerns(rows))
        return Promise.reject(new StoreFailure('held_up', undefined));
      return new Promise((resolve, reject) => {
        const sinceMs = dependencies.monotonicMs();
        enqueue({ sender, rows, weight: weightOf(rows), sinceMs, resolve, reject });
        pump();
      });
    },
    withdraw(rows) {
      const submission = waiting.get(rows);
      if (submission === undefined || !(queue.remove(submission) || heldUp.remove(submission))) return false;
      waiting.delete(rows);
      return true;
    },
    oldestWaitMs(sender) {
      const sinceMs = queue.oldestSinceMs(sender);
      return sinceMs === undefined ? 0 : dependencies.monotonicMs() - sinceMs;
    },
    waitingRows: (sender) => queue.rows(sender),
    get heldUpRows() {
      return heldUp.rows;
    },
    drained() {
      if (writing === 0 && !trying && queue.length === 0) return Promise.resolve();
      return new Promise((resolve) => {
        idle.push(resolve);
      });
    },
  };
}

function weightOf(rows: readonly AppendRow[]): number {
  return rows.reduce((weight, { props }) => weight + 1 + ((props?.length ?? 0) >> 10), 0);
}

/** The places of rows that are to be stored; of the others, `outcomes` says why. Of two copies of an event the first is chosen. */
function chooseRows(
  rows: readonly AppendRow[],
  streamIds: ReadonlyMap<string, number>,
  refusals: Pick<WeakMap<AppendRow, string>, 'get'>,
  outcomes: RowOutcome[],
): readonly number[] {
  const claims = new Map<number, Set<string>>();
  const chosen: number[] = [];
  rows.forEach((row, at) => {
    const refusal = refusals.get(row);
    if (refusal !== undefined) {
      outcomes[at] = { outcome: 'rejected', code: 'schema_mismatch', message: refusal };
      return;
    }
    const streamId = streamIds.get(row.stream);
    if (streamId === undefined) {
      const message = `Stream ${row.stream} would be one too many: raise TIDEMARK_MAX_STREAMS or use an existing stream`;
      outcomes[at] = { outcome: 'rejected', code: 'too_many_streams', message };
      return;
    }
    const claimed = claims.get(streamId) ?? new Set();
    claims.set(streamId, claimed);
    if (claimed.has(row.claim)) outcomes[at] = duplicate;
    else chosen.push(at);
    claimed.add(row.claim);
  });
  return chosen;
}

function inEventTimeOrder(rows: readonly AppendRow[], chosen: readonly number[]) {
  const ordered: { readonly at: number; readonly row: AppendRow }[] = [];
  for (const at of chosen) {
    const row = rows[at];
    if (row !== undefined) ordered.push({ at, row });
  }
  return ordered.sort((a, b) =>
    a.row.eventTime < b.row.eventTime ? -1 : a.row.eventTime > b.row.eventTime ? 1 : a.at - b.at,
  );
}
