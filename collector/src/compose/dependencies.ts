import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Quotas } from '../ingest/quota.ts';
import type { AbandonedSpools } from '../ingest/spool-abandoned.ts';
import type { OpenSpool } from '../ingest/spool-open.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Database } from '../store/database.ts';

/** What a collector is made of; whoever brings it closes it. */
export interface CollectorDependencies {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Migrated and checked; with a spool that may come later, and the database is closed until then. */
  readonly database: Database;
  /** Left out: what Postgres does not take is refused. */
  readonly spool?: OpenSpool | undefined;
  /** Left out: nobody left a spool behind. */
  readonly abandoned?: AbandonedSpools | undefined;
  /** Left out: quotas are for this process alone. */
  readonly quotas?: Quotas | undefined;
}
