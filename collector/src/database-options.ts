import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { DatabaseOptions } from './store/database.ts';

export interface DatabaseWitnesses {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** How the configuration wants the database to be used, and who is told of what becomes of it. */
export function databaseOptions(
  url: string,
  { writeConnections, readConnections, readDatabaseUrl }: Config,
  { clock, log, metrics }: DatabaseWitnesses,
): DatabaseOptions {
  return {
    url,
    writeConnections,
    readConnections,
    epochs: {
      onBegun(reason) {
        metrics.epochs.inc();
        log.warn({ reason }, 'the database is not the one it was: an epoch begins in every stream');
      },
      onUntold: (untold) =>
        log.warn(
          { untold },
          'Postgres does not say which server it is: after a failover or a restore, ask for POST /v1/epoch',
        ),
    },
    standby:
      readDatabaseUrl === undefined
        ? undefined
        : {
            url: readDatabaseUrl,
            monotonicMs: clock.monotonicMs,
            onLag: (seconds) => metrics.standbyLagSeconds.set(seconds),
            onAway(reason) {
              metrics.standbyAway.set(1);
              log.warn({ reason }, 'the standby cannot be read from: the primary is');
            },
            onBack() {
              metrics.standbyAway.set(0);
              log.info('the standby is read from again');
            },
          },
  };
}
