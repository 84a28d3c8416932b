import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivatePostgres } from '../harness/private-postgres.ts';
import { haltAll } from '../harness/processes.ts';
import type { Weather } from '../harness/proxy.ts';
import type { Random } from '../harness/seed.ts';
import { type Bed, putDelay } from './bed.ts';
import type { Collector } from './collectors.ts';
import type { Interval } from './history.ts';
import { clearPauses, setPause } from './outside.ts';
import { nowMs } from './record.ts';
import type { Fault, Step } from './schedule.ts';

/** How many times what was done. */
export type FaultCounts = Record<Fault['kind'], number>;

export interface Faults {
  readonly counts: FaultCounts;
  readonly calm: readonly Interval[];
  /** Does what the schedule says. Everything is healed when it comes back, also when the signal ends it early. */
  play(schedule: readonly Step[], signal: AbortSignal): Promise<void>;
  /** Everything runs, all clocks agree, nothing pauses, the network is fine. */
  heal(): Promise<void>;
}

export interface FaultOptions {
  readonly bed: Bed;
  readonly postgres: PrivatePostgres;
  readonly random: Random;
  /** Its appends become slow. */
  readonly slowStream: string;
  /** Its delay changes. */
  readonly changingStream: string;
}

/** An append that is slow on purpose takes so much longer, again and again: longer than a tick waits. */
const slowAppendMs = 400;
/** After healing, until what waits anywhere has gone through. */
const settleMs = 1_000;

export function createFaults({ bed, postgres, random, slowStream, changingStream }: FaultOptions): Faults {
  const counts: FaultCounts = {
    killCollector: 0,
    haltCollector: 0,
    crashPostgres: 0,
    crashBackend: 0,
    haltPostgres: 0,
    cutDatabase: 0,
    jumpClock: 0,
    storm: 0,
    slowAppends: 0,
    changeDelay: 0,
  };
  const calm: Interval[] = [];
  const pending = new Set<Promise<void>>();
  /** Things that a fault has in hand: another one leaves them alone. */
  const taken = new Set<unknown>();

  async function play(schedule: readonly Step[], signal: AbortSignal): Promise<void> {
    try {
      for (const step of schedule) {
        await rest(step.afterMs, signal);
        if (signal.aborted) return;
        if ('fault' in step) begin(step.fault, signal);
        else await beCalm(step.calmMs, signal);
      }
    } finally {
      await heal();
    }
  }

  async function beCalm(forMs: number, signal: AbortSignal): Promise<void> {
    await heal();
    await rest(settleMs, signal);
    const fromMs = nowMs();
    await rest(forMs, signal);
    calm.push({ fromMs, toMs: nowMs() });
  }

  function begin(fault: Fault, signal: AbortSignal): void {
    const thing = thingOf(fault);
    if (taken.has(thing)) return;
    taken.add(thing);
    const done = act(fault, signal)
      .then(
        () => void (counts[fault.kind] += 1),
        // Postgres may be away, for another fault: then this one did not take place.
        () => undefined,
      )
      .finally(() => {
        taken.delete(thing);
        pending.delete(done);
      });
    pending.add(done);
  }

  function thingOf(fault: Fault): unknown {
    if ('collector' in fault) return fault.collector;
    if (fault.kind === 'crashPostgres' || fault.kind === 'crashBackend' || fault.kind === 'haltPostgres')
      return postgres;
    return fault.kind;
  }

  function collectorOf({ collector }: { readonly collector: number }): Collector {
    const found = bed.collectors[collector];
    if (found === undefined) throw new Error(`there is no collector ${collector}`);
    return found;
  }

  async function act(fault: Fault, signal: AbortSignal): Promise<void> {
    switch (fault.kind) {
      case 'killCollector': {
        const collector = collectorOf(fault);
        await collector.kill();
        await rest(fault.downMs, signal);
        await startAgain(collector);
        return;
      }
      case 'haltCollector': {
        const collector = collectorOf(fault);
        collector.halt();
        await rest(fault.forMs, signal);
        collector.goOn();
        return;
      }
      case 'crashPostgres':
        bed.watch.postgres(false);
        await postgres.kill();
        await rest(fault.downMs, signal);
        await postgres.restart();
        bed.watch.postgres(true);
        return;
      case 'crashBackend':
        await crashBackend();
        return;
      case 'haltPostgres': {
        bed.watch.postgres(false);
        const goOn = await haltAll(postgres.pid);
        try {
          await rest(fault.forMs, signal);
        } finally {
          goOn();
          bed.watch.postgres(true);
        }
        return;
      }
      case 'cutDatabase':
        await untilPostgresAnswers();
        await bed.sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where application_name like 'tidemark%' and datname = current_database() and random() < 0.7`;
        return;
      case 'jumpClock':
        await untilPostgresAnswers();
        await bed.clockwork.jump(BigInt(fault.byMs) * 1_000n, fault.agreed);
        return;
      case 'storm':
        bed.setWeather(stormy);
        for (const collector of bed.collectors) if (random.number() < 0.5) collector.cut();
        await rest(fault.forMs, signal);
        clearUp();
        return;
      case 'slowAppends':
        await untilPostgresAnswers();
        await setPause(bed.sql, { at: 'stored', ms: slowAppendMs, share: 1, stream: slowStream });
        await rest(fault.forMs, signal);
        await insist(() => clearPauses(bed.sql));
        return;
      case 'changeDelay':
      default:
        await putDelay(
          bed,
          changingStream,
          fault.toMs,
          AbortSignal.any([signal, AbortSignal.timeout(5_000)]),
        );
    }
  }

  /** A start that fails, whatever happens to Postgres meanwhile, is none of our doing. */
  async function startAgain(collector: Collector): Promise<void> {
    await collector.start().catch((error: unknown) => void bed.surprises.push(String(error)));
  }

  /** One of the collectors' backends dies hard; Postgres then ends them all, ours too, and recovers. */
  async function crashBackend(): Promise<void> {
    await untilPostgresAnswers();
    const backends = await bed.sql<{ pid: number; ours: boolean }[]>`
      select pid, application_name = 'torture' as ours from pg_stat_activity
      where application_name similar to 'torture|tidemark%' and datname = current_database()`;
    const theirs = backends.filter(({ ours }) => !ours);
    const chosen = theirs[random.below(theirs.length)];
    if (chosen === undefined) return;
    const before = new Set(backends.map(({ pid }) => pid));
    bed.watch.postgres(false);
    process.kill(chosen.pid, 'SIGKILL');
    await insist(async () => {
      const [row] = await bed.sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
      if (before.has(row.pid)) throw new Error('Postgres has not noticed yet');
    });
    bed.watch.postgres(true);
  }

  function stormy(): Weather {
    const dice = random.number();
    if (dice < 0.3) return { kind: 'replyLost', afterBytes: random.below(3) * random.below(2_000) };
    if (dice < 0.5) return { kind: 'requestCut', afterBytes: random.below(20_000) };
    if (dice < 0.8) return { kind: 'slow', ms: random.below(300) };
    return { kind: 'fine' };
  }

  function clearUp(): void {
    bed.setWeather(() => ({ kind: 'fine' }));
    for (const collector of bed.collectors) collector.cut();
  }

  async function heal(): Promise<void> {
    await Promise.all(pending);
    clearUp();
    await untilPostgresAnswers();
    for (const collector of bed.collectors) {
      collector.goOn();
      if (!collector.running) await startAgain(collector);
    }
    await insist(() => clearPauses(bed.sql));
    await insist(() => bed.clockwork.settle());
  }

  function untilPostgresAnswers(): Promise<void> {
    return insist(async () => void (await bed.sql`select 1`));
  }

  return { counts, calm, play, heal };
}

/** Tries until it works, for at most half a minute. */
async function insist(task: () => Promise<void>): Promise<void> {
  const deadline = AbortSignal.timeout(30_000);
  for (;;) {
    try {
      await task();
      return;
    } catch (error) {
      if (deadline.aborted) throw error;
      await sleep(50);
    }
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
