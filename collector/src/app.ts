import { watermarkDelayMsDefault } from '@tidemark/core/wire';
import type { Hono } from 'hono';
import { atMost } from './clock.ts';
import { begin } from './compose/begin.ts';
import type { CollectorDependencies } from './compose/dependencies.ts';
import { createExplain } from './compose/explain.ts';
import { withFixedKeys } from './compose/fixed-keys.ts';
import { composeIngest } from './compose/ingest.ts';
import { startLoops } from './compose/loops.ts';
import { composeReading } from './compose/reading.ts';
import { composeRoutes } from './compose/routes.ts';
import { createAuthenticator } from './http/authenticate.ts';
import type { Readiness } from './http/health.ts';
import { createReplies } from './http/respond.ts';
import { startSettings } from './ingest/settings.ts';
import { describeFailure } from './store/failure.ts';
import { createKeyFinder } from './store/key-finder.ts';
import { createKeys } from './store/keys.ts';
import { addSchemaCounts, readActiveSchemas } from './store/schemas.ts';
import { readAsking, readSettingsVersion } from './store/settings.ts';
import { createStreams } from './store/streams.ts';

/** A collector without its socket: `app` answers requests, `close` finishes what was admitted. */
export interface Collector {
  readonly app: Hono;
  /** From now on `/readyz` says 503, so that load balancers send nothing more here. What comes is still served. */
  drain(): void;
  /** Refuses what is new, ends long polls, waits for what was admitted, and stops the loops. */
  close(): Promise<void>;
}

/** Without a tick for so long the database counts as lost. */
const storeSilentMs = 3_000;
/** After so long a close ends, whatever Postgres still does: what it has not answered is answered as unknown. */
const closeMsMax = 6_500;
/** So long the end waits for the loops. */
const loopStopMs = 1_500;

/**
 * Puts the rooms together. Without a spool the database must be reachable at this moment; later, and with a spool from the beginning, it may
 * come and go.
 */
export async function createCollector(dependencies: CollectorDependencies): Promise<Collector> {
  const { config, clock, log, metrics, database, spool, quotas } = dependencies;
  const stopped = new AbortController();
  let draining = false;

  const { databaseClock, firstPartition } = await begin(dependencies, stopped.signal);
  const streams = createStreams(database, {
    streamsMax: config.maxStreams,
    watermarkDelay: BigInt(watermarkDelayMsDefault) * 1_000n,
  });
  const settings = startSettings({
    readVersion: () => readSettingsVersion(database.control),
    readAsking: () => readAsking(database.control),
    readSchemas: () => readActiveSchemas(database),
    initialAsking: spool?.kept.asking() ?? [],
    addCounts: (counts) => addSchemaCounts(database.control, counts),
    onMismatch: ({ stream, name, mode }) => metrics.schemaMismatches.inc({ stream, name, mode }),
    onFailure: (error) =>
      log.debug({ failure: describeFailure(error) }, 'the settings of streams could not be looked at'),
    sleep: clock.sleep,
  });
  if (spool === undefined) await settings.known();
  const ingest = composeIngest({ ...dependencies, streams, settings, onAppended: () => loops.appended() });
  const { admission, appender, spooling } = ingest;
  const reading = composeReading({ database, firstPartition, hurry: () => loops.hurryAdvance() });
  const { live } = reading;
  const loops = startLoops({
    ...{ config, clock, log, metrics, database, databaseClock },
    busy: () => admission.inflightRequests > 0 || live.count > 0,
    onPublished: () => live.wake(),
  });
  void databaseClock.run(stopped.signal);

  const keys = createKeys(database);
  void spool?.kept.run(
    {
      fingerprint: async () => `${await keys.fingerprint()} ${await readSettingsVersion(database.control)}`,
      keys: (limit) => keys.working(limit),
      asking: () => readAsking(database.control),
    },
    stopped.signal,
  );
  const findStored = createKeyFinder(
    keys,
    clock,
    spooling && spool && { kept: spool.kept, away: spooling.away },
  );
  const stopSampling = metrics.sample(() => {
    metrics.queueBytes.set(admission.inflightBytes);
    metrics.queueRequests.set(admission.inflightRequests);
    metrics.heldUpEvents.set(appender.heldUpRows);
    metrics.queueOldestSeconds.set(appender.oldestWaitMs() / 1_000);
    metrics.pressure.set(admission.pressure());
    metrics.spoolWaitingBytes.set(ingest.spoolWaitingBytes());
    metrics.spoolFill.set(spooling?.fill() ?? 0);
    metrics.spoolAway.set(spooling?.away() === true ? 1 : 0);
    metrics.readersWaiting.set(live.count);
  });

  const app = composeRoutes({
    ...{
      config,
      clock,
      log,
      metrics,
      database,
      databaseClock,
      streams,
      keys,
      ingest,
      reading,
      readiness,
      quotas,
    },
    authenticator: createAuthenticator({ findKey: withFixedKeys(config, findStored), clock }),
    replies: createReplies({ pressure: () => (stopped.signal.aborted ? 1 : admission.pressure()), metrics }),
    hurryUpkeep: () => loops.hurryUpkeep(),
    explain: createExplain(admission),
    closing: stopped.signal,
  });

  function readiness(): Readiness {
    if (draining || stopped.signal.aborted) return { ready: false, reason: 'shutting_down' };
    const silent = loops.silentMs() > storeSilentMs;
    if (silent && (spooling === undefined || spooling.refusal() !== undefined))
      return { ready: false, reason: 'store_unavailable' };
    return { ready: true };
  }

  async function finish(): Promise<void> {
    const upkeepStopped = loops.stopUpkeep();
    await admission.settled();
    await ingest.stopDrain();
    // Nobody waits for what these still do.
    await Promise.all([
      ingest.stop(),
      atMost(loopStopMs, Promise.all([loops.stopAdvance(), upkeepStopped, settings.stop()]), clock),
    ]);
  }

  return {
    app,
    drain() {
      draining = true;
    },
    async close() {
      stopped.abort();
      stopSampling();
      await atMost(closeMsMax, finish(), clock);
    },
  };
}
