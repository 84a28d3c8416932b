import type { UpkeepReport } from './upkeep.ts';

/** Runs the upkeep about once a minute, sooner while there is more to delete. A round that fails is tried again at the next turn. */
export interface UpkeepLoop {
  /** Something was changed that the upkeep should see to: the next round comes now. */
  hurry(): void;
  /** Ends the pause and, between two of its steps, the round. */
  stop(): Promise<void>;
}

export interface UpkeepLoopOptions {
  readonly round: (signal: AbortSignal) => Promise<UpkeepReport | undefined>;
  readonly onReport: (report: UpkeepReport) => void;
  readonly onFailure: (error: unknown) => void;
  /** Resolves early when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** In [0, 1): several collectors that start together do not stay together. */
  readonly random: () => number;
  readonly intervalMs: number;
  readonly moreIntervalMs: number;
}

export const upkeepLoopDefaults = { intervalMs: 60_000, moreIntervalMs: 1_000 } as const;

export function startUpkeepLoop(options: UpkeepLoopOptions): UpkeepLoop {
  const stopped = new AbortController();
  let pause = new AbortController();
  let hurried = false;

  async function run(): Promise<void> {
    let waitMs = options.intervalMs * options.random();
    for (;;) {
      pause = new AbortController();
      if (!hurried && !stopped.signal.aborted) await options.sleep(waitMs, pause.signal);
      if (stopped.signal.aborted) return;
      hurried = false;
      waitMs = options.intervalMs * (0.75 + options.random() / 2);
      try {
        const report = await options.round(stopped.signal);
        if (report === undefined) continue;
        options.onReport(report);
        if (report.more) waitMs = options.moreIntervalMs;
      } catch (error) {
        options.onFailure(error);
      }
    }
  }

  const running = run();
  return {
    hurry() {
      hurried = true;
      pause.abort();
    },
    async stop() {
      stopped.abort();
      pause.abort();
      await running;
    },
  };
}
