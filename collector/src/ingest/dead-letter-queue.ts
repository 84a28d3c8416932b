import type { DeadLetter } from '../store/dead-letters.ts';
import type { Failure } from '../store/failure.ts';

/**
 * Dead letters on their way to Postgres: written many at once, behind the back of ingest, which neither waits for them nor fails
 * with them. What there is no room for is dropped and counted; so is what a crash takes, uncounted: its sender was told of the
 * rejection in any case.
 */
export interface DeadLetterQueue {
  add(letters: readonly DeadLetter[]): void;
  /** Keeps letters at once; when it resolves they are on disk. Rejects with what the store rejects with. */
  keep(letters: readonly DeadLetter[]): Promise<void>;
  /** Writes what waits, for so many milliseconds at most; what is left is dropped. */
  stop(deadlineMs: number): Promise<void>;
}

/** Why letters were given up. `space`: older ones, for those that came. */
export type LetterLoss = 'queue' | 'space' | 'unstorable' | 'closed';

export interface DeadLetterQueueDependencies {
  /** Answers how many old letters had to go. */
  readonly store: (letters: readonly DeadLetter[]) => Promise<number>;
  readonly failureOf: (error: unknown) => Failure;
  readonly onDropped: (reason: LetterLoss, letters: number) => void;
  readonly onFailure: (error: unknown) => void;
  /** Resolves early when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface DeadLetterQueueOptions {
  /** Of the texts that wait. */
  readonly bytesMax: number;
  readonly lettersMax: number;
}

export const deadLetterQueueDefaults: DeadLetterQueueOptions = { bytesMax: 8_388_608, lettersMax: 20_000 };

/** More letters come while the first waits. */
const lingerMs = 100;
const retryMs = 1_000;
const statementLetters = 500;
const statementBytes = 1_048_576;

export function createDeadLetterQueue(
  { store, failureOf, onDropped, onFailure, sleep }: DeadLetterQueueDependencies,
  { bytesMax, lettersMax }: DeadLetterQueueOptions,
): DeadLetterQueue {
  const waiting: DeadLetter[] = [];
  let bytes = 0;
  let running: Promise<void> | undefined;
  const hurried = new AbortController();
  const ended = new AbortController();

  async function run(): Promise<void> {
    await sleep(lingerMs, hurried.signal);
    while (waiting.length > 0 && !ended.signal.aborted) {
      const letters = waiting.slice(0, countOf(waiting));
      try {
        await keep(letters);
        waiting.splice(0, letters.length);
        for (const { raw } of letters) bytes -= raw.length;
      } catch (error) {
        onFailure(error);
        await sleep(retryMs, ended.signal);
      }
    }
  }

  /** A letter that Postgres cannot hold is found by halving. */
  async function keep(letters: readonly DeadLetter[]): Promise<void> {
    if (letters.length === 0) return;
    try {
      const dropped = await store(letters);
      if (dropped > 0) onDropped('space', dropped);
    } catch (error) {
      if (failureOf(error) !== 'data') throw error;
      if (letters.length === 1) {
        onDropped('unstorable', 1);
        return;
      }
      const half = letters.length >> 1;
      await keep(letters.slice(0, half));
      await keep(letters.slice(half));
    }
  }

  return {
    add(letters) {
      for (const letter of letters) {
        const room = waiting.length < lettersMax && bytes + letter.raw.length <= bytesMax;
        if (!room || ended.signal.aborted) {
          onDropped(room ? 'closed' : 'queue', 1);
          continue;
        }
        waiting.push(letter);
        bytes += letter.raw.length;
      }
      if (waiting.length > 0) {
        running ??= run().finally(() => {
          running = undefined;
        });
      }
    },
    async keep(letters) {
      for (let start = 0; start < letters.length; ) {
        const count = countOf(letters.slice(start, start + statementLetters));
        await keep(letters.slice(start, start + count));
        start += count;
      }
    },
    async stop(deadlineMs) {
      hurried.abort();
      const giveUp = new AbortController();
      const late = sleep(deadlineMs, giveUp.signal).then(() => ended.abort());
      await Promise.race([running, late]);
      giveUp.abort();
      ended.abort();
      if (waiting.length > 0) onDropped('closed', waiting.length);
    },
  };
}

/** How many go into one statement. */
function countOf(letters: readonly DeadLetter[]): number {
  let bytes = 0;
  const beyond = letters.slice(0, statementLetters).findIndex(({ raw }) => {
    bytes += raw.length;
    return bytes > statementBytes;
  });
  return beyond === -1 ? Math.min(letters.length, statementLetters) : Math.max(1, beyond);
}
