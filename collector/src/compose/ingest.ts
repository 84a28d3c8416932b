import { atMost } from '../clock.ts';
import type { Config } from '../config.ts';
import { createAdmission } from '../ingest/admit.ts';
import { type Appender, createAppender } from '../ingest/append.ts';
import { createBatchIntake } from '../ingest/batch.ts';
import { letterOfRow } from '../ingest/dead-letter.ts';
import {
  createDeadLetterQueue,
  type DeadLetterQueue,
  deadLetterQueueDefaults,
} from '../ingest/dead-letter-queue.ts';
import type { Settings } from '../ingest/settings.ts';
import type { OpenSpool } from '../ingest/spool-open.ts';
import { startClearing } from '../ingest/spool-abandoned.ts';
import { countSettled, type Spooling, type SpoolingDependencies, startSpooling } from '../ingest/spooling.ts';
import { createDirectSubmit } from '../ingest/submit.ts';
import { createUuidv7 } from '../ingest/uuidv7.ts';
import type { Log } from '../log.ts';
import { createAppend, readHeldStreams } from '../store/append.ts';
import { createDeadLetters } from '../store/dead-letters.ts';
import { describeFailure, failureOf } from '../store/failure.ts';
import { makePartitionsFor } from '../store/partitions.ts';
import type { Streams } from '../store/streams.ts';
import type { CollectorDependencies } from './dependencies.ts';

/**
 * Rows of a transaction: half as many bring 0.95 of the events a second, a quarter 0.82; twice as many 1.02, and take twice as long. Of writers,
 * which are two by default, one brings 0.84 and three 1.03 (two cores, Postgres beside the collector, batches of 500).
 */
const groupRows = 2_000;
/** As many groups of rows may wait for each writer: enough that it never waits for rows, and little enough that they hardly wait for it. */
const waitingGroups = 2;
/** So long a batch waits for a stream that somebody holds. With a spool it goes there instead. */
const heldUpMsMax = 5_000;

/** So long the end waits for what is just being moved to Postgres. */
const stopMs = 1_500;

export type Ingest = ReturnType<typeof composeIngest>;

export interface IngestParts extends CollectorDependencies {
  readonly streams: Streams;
  readonly settings: Settings;
  /** Told of every transaction of events. */
  readonly onAppended: () => void;
}

/** From a decoded batch to Postgres or the spool. */
export function composeIngest(parts: IngestParts) {
  const { config, clock, log, metrics, database, spool, abandoned, streams, settings, onAppended } = parts;
  const appender = createAppender(
    {
      refusalsOf: (rows) => settings.refusalsOf(rows),
      append: createAppend(database.write),
      ensureStreams: (names) => streams.ensure(names),
      forgetStreams: (names) => streams.forget(names),
      makePartitions: (rows) => makePartitionsFor(database.control, rows),
      failureOf,
      heldStreams: (streamIds) => readHeldStreams(database.control, streamIds),
      sleep: (ms) => clock.sleep(ms),
      monotonicMs: clock.monotonicMs,
      onGroup(rows, ms) {
        metrics.appendGroupEvents.observe(rows);
        metrics.appendSeconds.observe(ms / 1_000);
        onAppended();
      },
    },
    {
      writers: config.writeConnections,
      groupRows,
      heldUpMsMax: spool === undefined ? heldUpMsMax : 0,
    },
  );
  const deadLetters = createDeadLetters(database, { bytesMax: config.deadLetterBytesMax });
  const deadLetterQueue = createDeadLetterQueue(
    {
      store: (letters) => deadLetters.keep(letters),
      failureOf,
      onDropped: (reason, letters) => metrics.deadLettersDropped.inc({ reason }, letters),
      onFailure: (error) =>
        log.warn(
          { failure: describeFailure(error) },
          'rejected events could not be written and will be tried again',
        ),
      sleep: clock.sleep,
    },
    deadLetterQueueDefaults,
  );
  const onRejected = keepRejected(deadLetterQueue, log);
  const spooling = spool === undefined ? undefined : spoolingOf(spool, appender, onRejected, parts);
  const clearing =
    abandoned &&
    startClearing({
      ...{ abandoned, appender, onRejected, log, monotonicMs: clock.monotonicMs, sleep: clock.sleep },
      onMoved: (outcomes) => countSettled(outcomes, metrics),
    });
  const admission = createAdmission({
    inflightBytesMax: config.inflightBytesMax,
    inflightRequestsMax: config.inflightRequestsMax,
    queueAgeMsMax: config.queueAgeMsMax,
    oldestWaitMs: (keyId) => appender.oldestWaitMs(keyId),
    // What does not wait for Postgres because too much does goes to the spool, and may have to wait for that.
    waitingRows: (keyId) => (spooling ?? appender).waitingRows(keyId),
    waitingRowsMax: waitingRowsMax(config),
    monotonicMs: clock.monotonicMs,
    random: clock.random,
    ...(spooling === undefined ? {} : { spool: spooling }),
  });
  const uuidv7 = createUuidv7(clock.randomBytes);
  const submit = spooling?.submit ?? createDirectSubmit(appender);
  const takeBatch = createBatchIntake({
    submit,
    newId: () => uuidv7(Number(clock.wallMicros() / 1_000n)),
    asks: (stream) => settings.asks(stream),
    onDeadLetters: (letters) => deadLetterQueue.add(letters),
  });

  return {
    ...{ appender, deadLetters, spooling, admission, submit, takeBatch },
    /** In all spools that are moved to Postgres here. */
    spoolWaitingBytes: () => (spool?.journal.waitingBytes ?? 0) + (clearing?.waitingBytes() ?? 0),
    /** Moves nothing more from spools to Postgres. */
    async stopDrain(): Promise<void> {
      await Promise.all([spooling?.stop(stopMs), clearing && atMost(stopMs, clearing.stop(), clock)]);
    },
    /** Ends with what is being written, or without. */
    async stop(): Promise<void> {
      await Promise.all([atMost(stopMs, appender.drained(), clock), deadLetterQueue.stop(stopMs)]);
    },
  };
}

const waitingRowsMax = ({ writeConnections }: Config): number => writeConnections * waitingGroups * groupRows;

function spoolingOf(
  { journal }: OpenSpool,
  appender: Appender,
  onRejected: SpoolingDependencies['onRejected'],
  { config, clock, log, metrics }: CollectorDependencies,
): Spooling {
  return startSpooling({
    ...{ journal, appender, clock, log, metrics, onRejected },
    options: {
      fullFrom: 1 - config.limits.inflatedBytes / config.spoolBytesMax,
      afterMs: config.spoolAfterMs,
      waitingRowsMax: waitingRowsMax(config),
    },
  });
}

/** What Postgres refuses when it gets there out of a spool. */
function keepRejected(deadLetterQueue: DeadLetterQueue, log: Log): SpoolingDependencies['onRejected'] {
  return async (rejected) => {
    await deadLetterQueue.keep(rejected.map(({ row, outcome }) => letterOfRow(row, outcome, 'spool')));
    for (const { row, outcome } of rejected)
      log.error(
        { stream: row.stream, id: row.id, code: outcome.code },
        'an event of the spool was rejected by Postgres and is a dead letter now',
      );
  };
}
