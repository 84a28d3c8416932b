import type { DatabaseClock } from '../clock.ts';
import { advanceDefaults, createAdvancer } from '../store/advance.ts';
import { advanceLoopDefaults, startAdvanceLoop } from '../store/advance-loop.ts';
import { describeFailure } from '../store/failure.ts';
import { createUpkeep, type UpkeepReport, upkeepDefaults } from '../store/upkeep.ts';
import { startUpkeepLoop, upkeepLoopDefaults } from '../store/upkeep-loop.ts';
import type { CollectorDependencies } from './dependencies.ts';

export interface Loops {
  /** The watermark moves soon, and for a while at the pace of traffic. */
  appended(): void;
  hurryAdvance(): void;
  hurryUpkeep(): void;
  /** Since the last tick of the watermark, milliseconds: without one the database does not answer. */
  silentMs(): number;
  /** Each resolves when its loop stands still. */
  stopAdvance(): Promise<void>;
  stopUpkeep(): Promise<void>;
}

export interface LoopParts
  extends Pick<CollectorDependencies, 'config' | 'clock' | 'log' | 'metrics' | 'database'> {
  readonly databaseClock: DatabaseClock;
  /** Requests are under way, or readers wait. */
  readonly busy: () => boolean;
  /** Told whenever the watermark may have moved. */
  readonly onPublished: () => void;
}

/** So long after an append the watermark still moves at the pace of traffic. */
const trafficMs = 2_000;

/** What a collector does by itself: it moves the watermark, and deletes what is not kept any more. */
export function startLoops(parts: LoopParts): Loops {
  const { config, clock, log, metrics, database, databaseClock, busy, onPublished } = parts;
  let appendedMs = Number.NEGATIVE_INFINITY;
  const advancer = createAdvancer(database.control, {
    ...advanceDefaults,
    wallMicros: clock.wallMicros,
    monotonicMs: clock.monotonicMs,
    sleep: (ms) => clock.sleep(ms),
  });
  let publishedMs = clock.monotonicMs();
  const advanceLoop = startAdvanceLoop({
    ...advanceLoopDefaults,
    tick: () => advancer.tick(),
    busy: () => busy() || clock.monotonicMs() - appendedMs < trafficMs,
    onPublished(floor) {
      publishedMs = clock.monotonicMs();
      database.noteFloor(floor);
      metrics.watermarkLagSeconds.set(Number(databaseClock.nowMicros() - floor) / 1e6);
      onPublished();
    },
    onFailure: (error) => log.warn({ failure: describeFailure(error) }, 'the watermark could not be moved'),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    monotonicMs: clock.monotonicMs,
  });
  const upkeep = createUpkeep(database.upkeep, {
    ...upkeepDefaults,
    deadLetterMicros: BigInt(config.deadLetterDays) * 86_400_000_000n,
    sleep: clock.sleep,
    monotonicMs: clock.monotonicMs,
  });
  const upkeepLoop = startUpkeepLoop({
    ...upkeepLoopDefaults,
    round: (signal) => upkeep.round(signal),
    onReport: (report) => noteUpkeep(report, { log, metrics, nowMicros: databaseClock.nowMicros }),
    onFailure: (error) => log.warn({ failure: describeFailure(error) }, 'the upkeep could not be done'),
    sleep: clock.sleep,
    random: clock.random,
  });

  return {
    appended() {
      appendedMs = clock.monotonicMs();
      advanceLoop.hurry();
    },
    hurryAdvance: () => advanceLoop.hurry(),
    hurryUpkeep: () => upkeepLoop.hurry(),
    silentMs: () => clock.monotonicMs() - publishedMs,
    stopAdvance: () => advanceLoop.stop(),
    stopUpkeep: () => upkeepLoop.stop(),
  };
}

function noteUpkeep(
  report: UpkeepReport,
  { log, metrics, nowMicros }: Pick<CollectorDependencies, 'log' | 'metrics'> & { nowMicros: () => bigint },
): void {
  metrics.upkeepDeleted.inc({ of: 'events' }, report.eventsDeleted);
  metrics.upkeepDeleted.inc({ of: 'claims' }, report.claimsDeleted);
  metrics.upkeepDeleted.inc({ of: 'letters' }, report.lettersDeleted);
  metrics.upkeepPartitionsDropped.inc(report.partitionsDropped.length);
  if (report.oldest !== undefined)
    metrics.oldestRetainedSeconds.set(Number(nowMicros() - report.oldest) / 1e6);
  for (const partition of report.partitionsDropped) log.info({ partition }, 'a partition was dropped');
  for (const { step, error } of report.failures) {
    metrics.upkeepFailures.inc({ step });
    log.warn({ step, failure: describeFailure(error) }, 'a step of the upkeep failed and will be repeated');
  }
}
