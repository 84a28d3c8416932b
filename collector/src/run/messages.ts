import type { Config } from '../config.ts';
import type { Taken } from '../ingest/quota-shared.ts';
import type { MetricsText, MetricValues } from '../metrics.ts';

/** What a worker is told at its start. */
export interface Beginning {
  /** From 1 on. Another one in the place of a worker that ended has its number. */
  readonly number: number;
  /** The configuration, with this worker's part of what all share. */
  readonly config: Config;
  readonly databaseUrl: string;
  /** What is configured as the spool's folder; a worker has one below it. */
  readonly spoolRoot: string | undefined;
  /** False: the database is not migrated yet, and must not be used before `prepared`. */
  readonly prepared: boolean;
}

/** From the primary to a worker. The first is `begin`. */
export type Order =
  | { readonly do: 'begin'; readonly beginning: Beginning }
  | { readonly do: 'useDatabase' }
  /** Answered with `counted`. */
  | { readonly do: 'count'; readonly ask: number }
  /** Answers `totals`. */
  | { readonly do: 'tellTotals'; readonly ask: number; readonly totals: MetricsText }
  /** What other workers took from quotas. */
  | { readonly do: 'noteTaken'; readonly taken: readonly Taken[] }
  /** Finish what was admitted, and end. */
  | { readonly do: 'stop' };

/** From a worker to the primary. */
export type News =
  /** It listens to orders: those from before are lost. */
  | { readonly is: 'attentive' }
  | { readonly is: 'listening'; readonly port: number }
  /** It cannot go on, and ends; the reason is for the operator. */
  | { readonly is: 'failing'; readonly reason: string }
  | { readonly is: 'counted'; readonly ask: number; readonly values: MetricValues }
  /** Asks for the metrics of all. */
  | { readonly is: 'totals'; readonly ask: number }
  | { readonly is: 'taken'; readonly taken: readonly Taken[] };
