import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import type { MetricsText, MetricValues } from '../metrics.ts';
import type { Staff, Worker } from './staff.ts';
import { createTotals } from './totals.ts';

/** Asks all workers for their metrics when somebody wants those of all. */
export interface Count {
  /** With what each worker has counted at this moment; of one that does not answer, with what it last said. */
  all(staff: Pick<Staff, 'running' | 'listening'>): Promise<MetricsText>;
  /** What a worker answers. */
  note(number: number, ask: number, values: MetricValues): void;
  /** The worker is gone. */
  ended(number: number): void;
}

/** A worker that has not answered by then is busy or halted. */
const answerMsMax = 1_000;

export function createCount({ after }: Pick<Clock, 'after'>): Count {
  const totals = createTotals();
  const own = ownMetrics();
  let asks = 0;
  /** Whose answers an ask waits for. */
  const open = new Map<number, { readonly of: Set<number>; readonly end: () => void }>();

  function settle(ask: number, number: number): void {
    const asked = open.get(ask);
    asked?.of.delete(number);
    if (asked?.of.size === 0) asked.end();
  }

  function answersOf(workers: ReadonlyMap<number, Worker>): Promise<void> {
    if (workers.size === 0) return Promise.resolve();
    asks += 1;
    const ask = asks;
    return new Promise((resolve) => {
      const end = (): void => {
        open.delete(ask);
        stopWaiting();
        resolve();
      };
      const stopWaiting = after(answerMsMax, end);
      open.set(ask, { of: new Set(workers.keys()), end });
      for (const worker of workers.values()) worker.tell({ do: 'count', ask });
    });
  }

  return {
    async all({ running, listening }) {
      await answersOf(running);
      own.workers.set(listening.size);
      totals.note('primary', await own.registry.getMetricsAsJSON());
      return await totals.text();
    },
    note(number, ask, values) {
      totals.note(`worker ${number}`, values);
      settle(ask, number);
    },
    ended(number) {
      own.ended.inc();
      totals.end(`worker ${number}`);
      for (const ask of [...open.keys()]) settle(ask, number);
    },
  };
}

function ownMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    workers: new Gauge({
      name: 'tidemark_workers',
      help: 'Workers that take requests, of TIDEMARK_WORKERS.',
      registers,
    }),
    ended: new Counter({
      name: 'tidemark_workers_ended_total',
      help: 'Workers that ended, and in whose place another one was started.',
      registers,
    }),
  };
}
