import { atMost, type Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { describeFailure } from '../store/failure.ts';
import type { Appender, RowOutcome } from './append.ts';
import { createSpool, type Spool, type SpoolOptions } from './spool.ts';
import { type RejectedRow, startDrain } from './spool-drain.ts';
import type { Journal } from './spool-journal.ts';

/** Spool mode at work: what comes goes to Postgres or to the journal, and what is in the journal goes to Postgres. */
export interface Spooling extends Pick<Spool, 'submit' | 'away' | 'fill' | 'refusal' | 'waitingRows'> {
  /** Stops moving; what is under way gets so many milliseconds. The journal stays open. */
  stop(deadlineMs: number): Promise<void>;
}

export interface SpoolingDependencies {
  readonly journal: Journal;
  readonly appender: Appender;
  readonly clock: Pick<Clock, 'monotonicMs' | 'every' | 'sleep'>;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Keeps the dead letters of what Postgres refused long after it was acknowledged. */
  readonly onRejected: (rejected: readonly RejectedRow[]) => Promise<void>;
  readonly options: SpoolOptions;
}

export function startSpooling(dependencies: SpoolingDependencies): Spooling {
  const { journal, appender, clock, log, metrics, onRejected, options } = dependencies;
  const spool = createSpool(
    {
      appender,
      journal,
      monotonicMs: clock.monotonicMs,
      every: clock.every,
      onSpooled(events) {
        metrics.eventsSpooled.inc(events);
        drain.hurry();
      },
      onAway(away) {
        log.warn(
          away ? 'Postgres is away or too slow: events go to the spool' : 'events go to Postgres again',
        );
        if (away) drain.hurry();
      },
    },
    options,
  );
  const drain = startDrain({
    appender,
    journal,
    monotonicMs: clock.monotonicMs,
    sleep: clock.sleep,
    onRejected,
    onMoved(outcomes, ms) {
      countSettled(outcomes, metrics);
      spool.moved(ms);
    },
    onEmpty: () => spool.drained(),
    onFailure(error, postponed) {
      spool.failed(error);
      const failure = describeFailure(error);
      if (postponed) {
        metrics.spoolPostponed.inc();
        log.error(
          { failure },
          'Postgres does not take a batch of the spool: it goes to the end of the spool',
        );
      } else log.warn({ failure }, 'the spool could not be moved to Postgres and will be tried again');
    },
  });

  return {
    submit: spool.submit,
    away: spool.away,
    refusal: spool.refusal,
    fill: spool.fill,
    waitingRows: spool.waitingRows,
    async stop(deadlineMs) {
      spool.stop();
      await atMost(deadlineMs, drain.stop(), clock);
    },
  };
}

/** What was answered as accepted is settled now. */
export function countSettled(outcomes: readonly RowOutcome[], metrics: Metrics): void {
  let accepted = 0;
  let duplicates = 0;
  for (const outcome of outcomes) {
    if (outcome.outcome === 'stored') accepted += 1;
    else if (outcome.outcome === 'duplicate') duplicates += 1;
    else metrics.eventsRejected.inc({ code: outcome.code });
  }
  metrics.eventsAccepted.inc(accepted);
  metrics.eventsDuplicate.inc(duplicates);
}
