import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type CpuMeter, processMeter } from './cpu.ts';
import type { Fresh } from './fresh.ts';

/** The bench's side of the load generator. One order at a time. */
export interface Generator {
  readonly cpu: CpuMeter;
  /** Takes bodies from a file, one a line, for all that follows. */
  load(file: string): Promise<void>;
  /** Sends batches as fast as they are answered, or at a pace. Rejects when one of them is not accepted in full. */
  send(order: Sending): Promise<Sent>;
  /** Sends at a pace, and reads the stream meanwhile. */
  follow(order: Following): Promise<Followed>;
  /** Sends at a pace whatever the answers are, each batch on a free connection, and none again. */
  offer(order: Offering): Promise<Offered>;
  stop(): Promise<void>;
}

export type Order =
  | { readonly kind: 'load'; readonly file: string }
  | { readonly kind: 'send'; readonly what: Sending }
  | { readonly kind: 'follow'; readonly what: Following }
  | { readonly kind: 'offer'; readonly what: Offering };

export interface Sending {
  readonly url: string;
  readonly key: string;
  readonly connections: number;
  readonly batches: number;
  /** Ends after so long, however many batches are left. */
  readonly secondsMax?: number;
  readonly eventsPerBatch: number;
  /** Left out: as fast as it goes. */
  readonly batchesPerSecond?: number;
  /** Left out: batches go as they are, the first again after the last. */
  readonly fresh?: Fresh;
}

export interface Following extends Sending {
  readonly readKey: string;
  readonly stream: string;
  /** Gives up after so long. */
  readonly deadlineMs: number;
}

export interface Sent {
  readonly events: number;
  readonly seconds: number;
  /** Of each batch, in the order of their answers: how long it took, and when it was answered by the clock, milliseconds. */
  readonly tookMs: Float64Array;
  readonly answeredAtMs: Float64Array;
}

/** Milliseconds of each event until it was read: since its batch was due to be sent, and since that was acknowledged. */
export interface Followed extends Sent {
  readonly sinceDueMs: Float64Array;
  readonly sinceAcknowledgedMs: Float64Array;
}

export interface Offering {
  readonly url: string;
  readonly key: string;
  /** Sockets at most: a batch that finds none free waits for one. */
  readonly connections: number;
  readonly batchesPerSecond: number;
  readonly seconds: number;
  /** Left out: batches go as they are, the first again after the last. */
  readonly fresh?: Fresh;
}

/** What came of a load that was offered, and how long each of the accepted batches took. */
export interface Offered {
  /** Until the last answer. */
  readonly answeredSeconds: number;
  readonly accepted: number;
  /** Answered 429. */
  readonly refused: number;
  /** Answered anything else, or not at all. */
  readonly failed: number;
  readonly acceptedMs: Float64Array;
  /** Refusals whose `Retry-After` is missing or no whole number of seconds from 1 on. */
  readonly withoutRetryAfter: number;
}

export type Answer = { readonly result: number | Sent | Followed | Offered } | { readonly error: string };

export function startGenerator(): Generator {
  const child = fork(fileURLToPath(new URL('generator.ts', import.meta.url)), {
    execArgv: ['--import', import.meta.resolve('tsx')],
    serialization: 'advanced',
  });
  const ended = once(child, 'exit');

  async function order<Result>(what: Order): Promise<Result> {
    const answered = once(child, 'message');
    child.send(what);
    const [answer] = (await Promise.race([answered, ended.then(() => [{ error: 'it ended' }])])) as [Answer];
    if ('error' in answer) throw new Error(`the generator failed: ${answer.error}`);
    return answer.result as Result;
  }

  return {
    cpu: processMeter(child.pid ?? 0),
    async load(file) {
      await order({ kind: 'load', file });
    },
    send: (what) => order({ kind: 'send', what }),
    follow: (what) => order({ kind: 'follow', what }),
    offer: (what) => order({ kind: 'offer', what }),
    async stop() {
      child.disconnect();
      await ended;
    },
  };
}
