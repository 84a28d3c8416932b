import type { Clock } from '../clock.ts';
import type { Taken } from '../ingest/quota-shared.ts';
import type { MetricsText, MetricValues } from '../metrics.ts';
import type { Beginning, News, Order } from './messages.ts';

/** A worker's side of the talk with the primary. */
export interface ToPrimary {
  /** What this worker is to do. */
  readonly beginning: Promise<Beginning>;
  tellListening(port: number): Promise<void>;
  /** Resolves when the primary can know. */
  tellFailing(reason: string): Promise<void>;
  readonly tellTaken: (taken: readonly Taken[]) => void;
  /** The metrics of all workers. Rejects when the primary does not tell them. */
  totals(): Promise<MetricsText>;
  /** Each is called for every order of its kind, also for one that came before. */
  onCount(count: () => Promise<MetricValues>): void;
  onTaken(note: (taken: readonly Taken[]) => void): void;
  onPrepared(open: () => void): void;
  onStop(stop: () => void): void;
}

/** The part of `process` that is used here. */
export interface Channel {
  send(news: News, sent: (error: Error | null) => void): void;
  on(event: 'message', listener: (order: Order) => void): void;
}

/** So long the primary may take to ask all workers. */
const totalsMsMax = 5_000;
/** So much waits for a primary that is halted. */
const untoldMax = 1_000;

export function talkToPrimary(channel: Channel, { after }: Pick<Clock, 'after'>): ToPrimary {
  const asked = new Map<number, (totals: MetricsText) => void>();
  let asks = 0;
  let count: () => Promise<MetricValues> = async () => [];
  let note: (taken: readonly Taken[]) => void = () => undefined;
  let prepared = false;
  let open: () => void = () => undefined;
  let stopped = false;
  let stop: () => void = () => undefined;
  let begin: (beginning: Beginning) => void = () => undefined;
  const beginning = new Promise<Beginning>((resolve) => {
    begin = resolve;
  });

  let untold = 0;
  function tell(news: News): Promise<void> {
    if (untold >= untoldMax) return Promise.reject(new Error('the primary does not listen'));
    untold += 1;
    return new Promise((resolve, reject) => {
      channel.send(news, (error) => {
        untold -= 1;
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  channel.on('message', (order) => {
    switch (order.do) {
      case 'begin':
        return begin(order.beginning);
      case 'useDatabase':
        prepared = true;
        return open();
      case 'count':
        return void count()
          .then((values) => tell({ is: 'counted', ask: order.ask, values }))
          // The primary is gone, and so will this process be.
          .catch(() => undefined);
      case 'tellTotals':
        asked.get(order.ask)?.(order.totals);
        asked.delete(order.ask);
        return;
      case 'noteTaken':
        return note(order.taken);
      case 'stop':
        stopped = true;
        return stop();
    }
  });

  void tell({ is: 'attentive' }).catch(() => undefined);
  return {
    beginning,
    tellListening: (port) => tell({ is: 'listening', port }),
    tellFailing: (reason) => tell({ is: 'failing', reason }),
    tellTaken: (taken) => void tell({ is: 'taken', taken }).catch(() => undefined),
    async totals() {
      asks += 1;
      const ask = asks;
      const answered = new Promise<MetricsText>((resolve, reject) => {
        const stopWaiting = after(totalsMsMax, () => {
          asked.delete(ask);
          reject(new Error(`the primary has not told the metrics of all within ${totalsMsMax} ms`));
        });
        asked.set(ask, (totals) => {
          stopWaiting();
          resolve(totals);
        });
      });
      const [totals] = await Promise.all([answered, tell({ is: 'totals', ask })]);
      return totals;
    },
    onCount(given) {
      count = given;
    },
    onTaken(given) {
      note = given;
    },
    onPrepared(given) {
      open = given;
      if (prepared) open();
    },
    onStop(given) {
      stop = given;
      if (stopped) stop();
    },
  };
}
