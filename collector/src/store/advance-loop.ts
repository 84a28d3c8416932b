/**
 * Keeps the watermark moving: a tick about every 100 ms while there is traffic or a reader waits, else every second. Any
 * number of collectors may run one; a tick that fails is logged and the next one comes all the same.
 */
export interface AdvanceLoop {
  /** Somebody appends or waits: the next tick comes soon. */
  hurry(): void;
  stop(): Promise<void>;
}

export interface AdvanceLoopOptions {
  readonly tick: () => Promise<bigint>;
  /** True while a tick soon would be of use. */
  readonly busy: () => boolean;
  readonly onPublished: (floor: bigint) => void;
  readonly onFailure: (error: unknown) => void;
  /** Resolves early when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly monotonicMs: () => number;
  readonly busyIntervalMs: number;
  readonly idleIntervalMs: number;
}

export const advanceLoopDefaults = { busyIntervalMs: 100, idleIntervalMs: 1_000 } as const;

export function startAdvanceLoop(options: AdvanceLoopOptions): AdvanceLoop {
  let stopped = false;
  let hurried = false;
  let idling = false;
  let pause = new AbortController();

  async function run(): Promise<void> {
    while (!stopped) {
      const startedMs = options.monotonicMs();
      hurried = false;
      try {
        options.onPublished(await options.tick());
      } catch (error) {
        options.onFailure(error);
      }
      await sleepUntil(startedMs + options.busyIntervalMs);
      if (hurried || options.busy()) continue;
      idling = true;
      await sleepUntil(startedMs + options.idleIntervalMs);
      idling = false;
    }
  }

  async function sleepUntil(dueMs: number): Promise<void> {
    if (stopped) return;
    pause = new AbortController();
    await options.sleep(Math.max(5, dueMs - options.monotonicMs()), pause.signal);
  }

  const running = run();
  return {
    hurry() {
      hurried = true;
      if (idling) pause.abort();
    },
    async stop() {
      stopped = true;
      pause.abort();
      await running;
    },
  };
}
