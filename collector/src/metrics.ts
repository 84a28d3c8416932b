import {
  type Aggregator,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

/** What a process has counted, to be added to what others have. */
export type MetricValues = readonly MetricObjectWithValues<MetricValue<string>>[];

/** In the text format of Prometheus. */
export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

export interface MetricsOptions {
  /** Memory, CPU, event loop and garbage collection of the process too: watching them has a cost and no end. */
  readonly process: boolean;
}

/** The counters of one app: nothing is global, so that several apps in a process count apart. */
export function createMetrics({ process }: MetricsOptions = { process: false }) {
  const registry = new Registry();
  const registers = [registry];
  const samplers = new Set<() => void>();
  if (process) collectDefaultMetrics({ register: registry });

  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
  /** `of`: what the values of several workers make together. */
  const gauge = (name: string, help: string, of: Aggregator): Gauge =>
    new Gauge({ name, help, registers, aggregator: of });
  const seconds = (name: string, help: string): Histogram =>
    new Histogram({ name, help, registers, buckets: secondsBuckets });

  return {
    eventsAccepted: counter('tidemark_events_accepted_total', 'Events that were stored.'),
    eventsDuplicate: counter(
      'tidemark_events_duplicate_total',
      'Events whose id was already stored, answered as duplicates.',
    ),
    eventsRejected: new Counter<'code'>({
      name: 'tidemark_events_rejected_total',
      help: 'Events that were refused while their batch was answered 200, by code.',
      labelNames: ['code'],
      registers,
    }),
    clientDropped: new Counter<'reason'>({
      name: 'tidemark_client_dropped_total',
      help: 'Events that clients have given up before they were stored, as they say themselves with a later batch, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    eventsSpooled: counter(
      'tidemark_events_spooled_total',
      'Events that were put into the spool. They count as accepted, duplicate or rejected when they have got to Postgres.',
    ),
    spoolWaitingBytes: gauge(
      'tidemark_spool_waiting_bytes',
      'Bytes in the spool that are not in Postgres yet.',
      'sum',
    ),
    spoolFill: gauge(
      'tidemark_spool_fill',
      'How much of its limit the spool takes up on disk, 0 to 1.',
      'max',
    ),
    spoolAway: gauge(
      'tidemark_spool_away',
      '1 while events go to the spool because Postgres is away or too slow.',
      'max',
    ),
    spoolPostponed: counter(
      'tidemark_spool_postponed_total',
      'Batches that went to the end of the spool because Postgres did not take them, though it was there.',
    ),
    spoolDamagedBytes: counter(
      'tidemark_spool_damaged_bytes_total',
      'Bytes of the spool that could not be read any more: events that were acknowledged may be lost.',
    ),

    schemaMismatches: new Counter<'stream' | 'name' | 'mode'>({
      name: 'tidemark_schema_mismatches_total',
      help: 'Events that their schema does not allow: stored all the same where it warns, rejected where it is enforced.',
      labelNames: ['stream', 'name', 'mode'],
      registers,
    }),
    deadLettersDropped: new Counter<'reason'>({
      name: 'tidemark_dead_letters_dropped_total',
      help: 'Rejected events of which nothing is kept: older ones for newer, and those that could not be written.',
      labelNames: ['reason'],
      registers,
    }),

    requests: new Counter<'route' | 'method' | 'status'>({
      name: 'tidemark_requests_total',
      help: 'Requests that were answered, by route, method and status.',
      labelNames: ['route', 'method', 'status'],
      registers,
    }),
    requestSeconds: new Histogram<'route' | 'method'>({
      name: 'tidemark_request_seconds',
      help: 'From the first line of the handler until the answer was made (of a stream: until it began).',
      labelNames: ['route', 'method'],
      buckets: secondsBuckets,
      registers,
    }),
    problems: new Counter<'code'>({
      name: 'tidemark_problems_total',
      help: 'Requests that were answered with a problem, by code.',
      labelNames: ['code'],
      registers,
    }),

    appendGroupEvents: new Histogram({
      name: 'tidemark_append_group_events',
      help: 'Events that were written in one transaction.',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000],
      registers,
    }),
    appendSeconds: seconds('tidemark_append_seconds', 'What one transaction of events took.'),
    queueBytes: gauge(
      'tidemark_queue_bytes',
      'Bytes of bodies that are admitted and not yet answered.',
      'sum',
    ),
    queueRequests: gauge(
      'tidemark_queue_requests',
      'Requests that are admitted and not yet answered.',
      'sum',
    ),
    heldUpEvents: gauge(
      'tidemark_held_up_events',
      'Events that wait because another transaction of the database holds their stream.',
      'sum',
    ),
    queueOldestSeconds: gauge('tidemark_queue_oldest_seconds', 'Age of the oldest batch that waits.', 'max'),
    pressure: gauge('tidemark_pressure', 'How full the collector is, 0 to 1.', 'max'),

    watermarkLagSeconds: gauge(
      'tidemark_watermark_lag_seconds',
      'How far the drained floor of the streams is behind the clock of the database.',
      'max',
    ),
    clockOffsetSeconds: gauge(
      'tidemark_clock_offset_seconds',
      'The clock of the database minus the clock of this machine.',
      'average',
    ),

    epochs: counter(
      'tidemark_epochs_total',
      'Epochs that began because the database was restored or switched.',
    ),
    standbyLagSeconds: gauge(
      'tidemark_standby_lag_seconds',
      'How far the standby that is read from is behind the primary.',
      'max',
    ),
    standbyAway: gauge(
      'tidemark_standby_away',
      '1 while the primary is read because the standby cannot be.',
      'max',
    ),

    pages: counter('tidemark_pages_total', 'Pages that were read.'),
    pageSeconds: seconds('tidemark_page_seconds', 'What reading one page from the database took.'),
    eventsRead: counter('tidemark_events_read_total', 'Events that were given to readers.'),
    readersWaiting: gauge('tidemark_readers_waiting', 'Readers that wait for the watermark.', 'sum'),

    upkeepDeleted: new Counter<'of'>({
      name: 'tidemark_upkeep_deleted_total',
      help: 'Rows that were deleted because they are no longer kept, in small deletes: events, claims and dead letters.',
      labelNames: ['of'],
      registers,
    }),
    upkeepPartitionsDropped: counter(
      'tidemark_upkeep_partitions_dropped_total',
      'Partitions that were dropped because no stream keeps what was in them.',
    ),
    upkeepFailures: new Counter<'step'>({
      name: 'tidemark_upkeep_failures_total',
      help: 'Steps of the upkeep that failed and are tried again, by step.',
      labelNames: ['step'],
      registers,
    }),
    oldestRetainedSeconds: gauge(
      'tidemark_oldest_retained_seconds',
      'Age of the beginning of the oldest daily partition, as the collector saw it that did the upkeep last.',
      'max',
    ),

    /** Runs before each look at the metrics, to set what has a value now. Returns what ends it. */
    sample(sampler: () => void): () => void {
      samplers.add(sampler);
      return () => samplers.delete(sampler);
    },
    async text(): Promise<MetricsText> {
      sampleAll();
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    async values(): Promise<MetricValues> {
      sampleAll();
      return await registry.getMetricsAsJSON();
    },
  };

  function sampleAll(): void {
    for (const sampler of samplers) sampler();
  }
}

const secondsBuckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
