// A program that tracks events with the Node SDK and says what it cost. What it does is its first argument, as JSON; its report is a line of JSON.

import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@tidemark/node';

/** So many events, all at once or at a steady pace. */
export interface Tracking {
  readonly url: string;
  readonly events: number;
  /** Left out: as fast as it goes, without waiting for anything. */
  readonly eventsPerSecond?: number;
  readonly spoolDir?: string;
  /** Milliseconds that what is queued may take at the end. */
  readonly flushMs: number;
}

export interface Tracked {
  readonly trackNanoseconds: number;
  /** Of user and system, in microseconds an event, from the first event to the last reply. */
  readonly cpuMicros: number;
  readonly peakMebibytes: number;
  readonly queued: number;
  readonly sent: number;
  readonly duplicates: number;
  readonly dropped: number;
  readonly spooled: number;
}

const task = JSON.parse(process.argv[2] ?? '{}') as Tracking;
const client = createClient({
  url: task.url,
  key: 'bench',
  ...(task.spoolDir && { spoolDir: task.spoolDir }),
});
let trackMs = 0;

// Code that was never run is slow, and its compilation is not what this is about.
for (let index = 0; index < 20_000; index++) track(index);
await client.flush({ timeoutMs: 60_000 });
const before = client.counters();
trackMs = 0;

const startedMs = performance.now();
const startedCpu = process.cpuUsage();
if (task.eventsPerSecond === undefined) trackMany(0, task.events);
else await trackSteadily(task.eventsPerSecond);
await client.flush({ timeoutMs: task.flushMs });
const cpu = process.cpuUsage(startedCpu);
await client.close({ timeoutMs: 500 });

const { queued, sent, duplicates, rejected, dropped, spooled } = client.counters();
const report: Tracked = {
  trackNanoseconds: (trackMs / task.events) * 1e6,
  cpuMicros: (cpu.user + cpu.system) / task.events,
  peakMebibytes: process.resourceUsage().maxRSS / 1_024,
  queued: queued - before.queued,
  sent: sent - before.sent,
  duplicates: duplicates - before.duplicates,
  dropped: rejected + Object.values(dropped).reduce((sum, count) => sum + count, 0),
  spooled,
};
console.log(JSON.stringify(report));

async function trackSteadily(eventsPerSecond: number): Promise<void> {
  for (let tracked = 0; tracked < task.events; ) {
    await sleep(10);
    const due = Math.min(
      task.events,
      Math.floor(((performance.now() - startedMs) / 1_000) * eventsPerSecond),
    );
    trackMany(tracked, due);
    tracked = due;
  }
}

function trackMany(from: number, to: number): void {
  const beganMs = performance.now();
  for (let index = from; index < to; index++) track(index);
  trackMs += performance.now() - beganMs;
}

/** About 300 bytes. */
function track(index: number): void {
  void client.track(
    'order.placed',
    {
      order: `A-${index}`,
      total: index * 1.5,
      currency: 'EUR',
      items: [{ sku: 'X-1000', quantity: 2 }],
      page: 'https://shop.example/checkout/confirmation',
      note: 'left at the door',
    },
    { key: `user-${index % 1_000}`, stream: 'orders' },
  );
}
