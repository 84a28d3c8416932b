import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { News, Order } from './messages.ts';

/**
 * Workers, each in its place: one that ends is replaced.
 *
 * At the start all must begin: one that ends before it listens ends the start, as the next would end in the same way. Later on another one is started as
 * long as it takes, after a pause that doubles from a tenth of a second to ten, and is short again when one has held out for half a minute.
 */
export interface Staff {
  /** The port they listen on, when all do. Rejects with `WorkerError` when one of them ends instead. */
  readonly ready: Promise<number>;
  /** Those that run, by number. */
  readonly running: ReadonlyMap<number, Worker>;
  /** Of those, the numbers of the ones that take requests. */
  readonly listening: ReadonlySet<number>;
  tellAll(order: Order): void;
  /** Lets them finish. Resolves when none runs any more; no other is started. */
  stop(): Promise<void>;
}

/** A process that works. */
export interface Worker {
  tell(order: Order): void;
  onNews(listener: (news: News) => void): void;
  /** `how`: its exit code, or the signal that ended it. */
  onExit(listener: (how: string) => void): void;
}

/** A worker ended at its start. The message is for the operator. */
export class WorkerError extends Error {
  override readonly name = 'WorkerError';
}

export interface StaffDependencies {
  readonly start: () => Worker;
  readonly begin: (number: number) => Order;
  readonly onNews: (number: number, worker: Worker, news: News) => void;
  /** `killed`: it ended other than by being asked to. */
  readonly onEnded: (number: number) => void;
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>;
  readonly log: Log;
}

const pauseMsMin = 100;
const pauseMsMax = 10_000;
const soundMs = 30_000;

export function startStaff(workers: number, dependencies: StaffDependencies): Staff {
  const { clock, log } = dependencies;
  const running = new Map<number, Worker>();
  const listening = new Set<number>();
  const pauses = new Map<number, { readonly ms: number; readonly end: () => void }>();
  let starting = true;
  let stopping = false;
  let allGone: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => {
    allGone = resolve;
  });
  let settle: { resolve: (port: number) => void; reject: (error: Error) => void } | undefined;
  const ready = new Promise<number>((resolve, reject) => {
    settle = { resolve, reject };
  });

  function start(number: number): void {
    const worker = dependencies.start();
    const startedMs = clock.monotonicMs();
    let reason: string | undefined;
    running.set(number, worker);
    worker.onNews((news) => {
      if (news.is === 'attentive') {
        worker.tell(dependencies.begin(number));
        if (stopping) worker.tell({ do: 'stop' });
      }
      if (news.is === 'failing') reason = news.reason;
      if (news.is === 'listening') noteListening(number, news.port);
      dependencies.onNews(number, worker, news);
    });
    worker.onExit((how) => {
      running.delete(number);
      listening.delete(number);
      dependencies.onEnded(number);
      if (stopping) {
        if (running.size === 0) allGone();
      } else if (starting) {
        settle?.reject(new WorkerError(reason ?? `A worker ended at its start (${how}).`));
      } else {
        replace(number, { how, reason, livedMs: clock.monotonicMs() - startedMs });
      }
    });
  }

  function noteListening(number: number, port: number): void {
    listening.add(number);
    if (!starting || listening.size < workers) return;
    starting = false;
    settle?.resolve(port);
  }

  function replace(
    number: number,
    ended: { readonly how: string; readonly reason: string | undefined; readonly livedMs: number },
  ): void {
    const before = ended.livedMs >= soundMs ? undefined : pauses.get(number)?.ms;
    const ms = before === undefined ? pauseMsMin : Math.min(pauseMsMax, before * 2);
    log.error(
      { worker: number, how: ended.how, reason: ended.reason, afterMs: ms },
      'a worker ended: another one is started',
    );
    pauses.set(number, { ms, end: clock.after(ms, () => start(number)) });
  }

  for (let number = 1; number <= workers; number += 1) start(number);

  return {
    ready,
    running,
    listening,
    tellAll(order) {
      for (const worker of running.values()) worker.tell(order);
    },
    async stop() {
      stopping = true;
      for (const pause of pauses.values()) pause.end();
      if (running.size === 0) return;
      for (const worker of running.values()) worker.tell({ do: 'stop' });
      await gone;
    },
  };
}
