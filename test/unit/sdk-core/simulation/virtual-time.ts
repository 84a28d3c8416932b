/** Time that passes only when nothing is left to do: thousands of seconds in a moment, the same way every time. */
export interface VirtualTime {
  /** Milliseconds since the beginning, sleep not counted: what timers and monotonic clocks go by. */
  now(): number;
  /** The true time of day, in milliseconds since the Unix epoch. */
  trueMs(): number;
  /** The device sleeps: nothing runs, but the time of day goes on. */
  sleep(ms: number): void;
  after(delayMs: number, run: () => void): () => void;
  /** Runs until `endMs`, or earlier when nothing is due any more. */
  runUntil(endMs: number): Promise<void>;
}

/** 2026-01-01T00:00:00Z. */
const trueEpochMs = 1_767_225_600_000;

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

export function createVirtualTime(): VirtualTime {
  const heap: Timer[] = [];
  let now = 0;
  let sleptMs = 0;
  let order = 0;

  return {
    now: () => now,
    trueMs: () => trueEpochMs + now + sleptMs,
    sleep(ms) {
      sleptMs += ms;
    },
    after(delayMs, run) {
      const timer = { at: now + Math.max(0, delayMs), order: order++, run, cancelled: false };
      push(heap, timer);
      return () => {
        timer.cancelled = true;
      };
    },
    async runUntil(endMs) {
      await settle();
      for (let next = heap[0]; next !== undefined && next.at <= endMs; next = heap[0]) {
        pop(heap);
        if (next.cancelled) continue;
        now = Math.max(now, next.at);
        next.run();
        await settle();
      }
      now = Math.max(now, endMs);
    },
  };
}

/** Long enough for every chain of promises in the engine to come to its end. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 40; turn++) await Promise.resolve();
}

function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function push(heap: Timer[], timer: Timer): void {
  let index = heap.push(timer) - 1;
  while (index > 0) {
    const parent = (index - 1) >> 1;
    const above = heap[parent];
    if (above === undefined || !before(timer, above)) break;
    heap[index] = above;
    heap[parent] = timer;
    index = parent;
  }
}

function pop(heap: Timer[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let index = 0;
  heap[0] = last;
  for (;;) {
    let child = 2 * index + 1;
    const left = heap[child];
    if (left === undefined) return;
    const right = heap[child + 1];
    if (right !== undefined && before(right, left)) child++;
    const least = heap[child];
    if (least === undefined || !before(least, last)) return;
    heap[index] = least;
    heap[child] = last;
    index = child;
  }
}
