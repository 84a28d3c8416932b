import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundleProgram } from '../harness/bundle.ts';
import { type SmallCollector, startSmallCollector } from '../sdk/small-collector.ts';
import type { Figure, Measurement } from './figure.ts';
import type { Tracked, Tracking } from './tracker.ts';

const burstEvents = 200_000;
const steadyPerSecond = 1_000;
/** Milliseconds of each trouble, one after the other. */
const trouble = { loseRepliesMs: 2_000, refuseMs: 20_000, downMs: 20_000, hangMs: 5_000, calmMs: 5_000 };

/** What the Node SDK costs, and what it loses, against a collector that is another process. */
export const p10: Figure = {
  name: 'P10',
  title: `node SDK: a burst of ${burstEvents.toLocaleString('en')} events`,
  async prepare() {
    const program = await bundleProgram('test/bench/tracker.ts');
    return {
      cases: [{ name: 'burst', measure: () => withCollector((collector) => burst(collector, program.main)) }],
      bounds: [
        { case: 'burst', value: 'ns per track()', atMost: 2_500 },
        { case: 'burst', value: 'µs/event CPU', atMost: 10 },
        { case: 'burst', value: 'lost', atMost: 0 },
        { case: 'burst', value: 'stored twice', atMost: 0 },
        { case: 'burst', value: 'MiB peak RSS', atMost: 200 },
        { case: 'burst', value: 'sockets', atMost: 4 },
      ],
      close: () => program.remove(),
    };
  },
};

/** The same at a steady pace through everything that can go wrong. */
export const p10Faults: Figure = {
  name: 'P10-faults',
  title: `node SDK: ${steadyPerSecond.toLocaleString('en')} events/s through replies lost for 2 s, 429 for 20 s, down for 20 s, hanging for 5 s`,
  async prepare() {
    const program = await bundleProgram('test/bench/tracker.ts');
    return {
      cases: [
        { name: 'faults', measure: () => withCollector((collector) => faults(collector, program.main)) },
      ],
      bounds: [
        { case: 'faults', value: 'lost', atMost: 0 },
        { case: 'faults', value: 'stored twice', atMost: 0 },
        { case: 'faults', value: '× 429', atMost: 25 },
        { case: 'faults', value: 'MiB peak RSS', atMost: 150 },
        { case: 'faults', value: 'sockets', atMost: 4 },
        { case: 'faults', value: 'ms receivedAt − sentAt, most', atMost: 100 },
      ],
      close: () => program.remove(),
    };
  },
};

async function withCollector(run: (collector: SmallCollector) => Promise<Measurement>): Promise<Measurement> {
  const collector = await startSmallCollector();
  try {
    return await run(collector);
  } finally {
    await collector.close();
  }
}

async function burst(collector: SmallCollector, program: string): Promise<Measurement> {
  const tracked = await track(program, { url: collector.url, events: burstEvents, flushMs: 120_000 });
  return {
    'ns per track()': tracked.trackNanoseconds,
    'µs/event CPU': tracked.cpuMicros,
    ...fateOf(collector, tracked, burstEvents),
  };
}

async function faults(collector: SmallCollector, program: string): Promise<Measurement> {
  const wholeMs = Object.values(trouble).reduce((sum, ms) => sum + ms, 0);
  const events = (wholeMs / 1_000) * steadyPerSecond;
  const tracking = track(program, {
    url: collector.url,
    events,
    eventsPerSecond: steadyPerSecond,
    flushMs: 60_000,
  });
  await Promise.all([tracking, goWrong(collector)]);
  const tracked = await tracking;
  return {
    ...fateOf(collector, tracked, events),
    '× 429': collector.requests.filter(({ status }) => status === 429).length,
    'sent twice': tracked.duplicates,
    'ms receivedAt − sentAt, most': Math.max(
      ...collector.requests
        .filter(({ query }) => query.has('sentAt'))
        .map(({ at, query }) => at - Date.parse(query.get('sentAt') ?? '')),
    ),
  };
}

async function goWrong(collector: SmallCollector): Promise<void> {
  const during = async (ms: number, fault: SmallCollector['fault']): Promise<void> => {
    collector.fault = fault;
    await sleep(ms);
    collector.fault = () => undefined;
  };
  await during(trouble.loseRepliesMs, () => ({ kind: 'cut', stored: true }));
  await during(trouble.refuseMs, () => ({
    kind: 'answer',
    status: 429,
    headers: { 'retry-after': '1' },
    body: { code: 'overloaded', retryAfterMs: 1_000 },
  }));
  await collector.down();
  await sleep(trouble.downMs);
  await collector.up();
  await during(trouble.hangMs, () => ({ kind: 'hang' }));
  await sleep(trouble.calmMs);
}

/** The warm-up's events are among the stored ones, too, and none of them is among the tracked ones. */
function fateOf(collector: SmallCollector, tracked: Tracked, events: number): Measurement {
  const ids = collector.stored.map(({ id }) => id);
  return {
    lost: events - (tracked.sent + tracked.duplicates),
    'stored twice': ids.length - new Set(ids).size,
    'MiB peak RSS': tracked.peakMebibytes,
    sockets: collector.socketsMax(),
  };
}

async function track(program: string, tracking: Tracking): Promise<Tracked> {
  const child = spawn(process.execPath, [program, JSON.stringify(tracking)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`the tracking program ended with ${code}: ${output}`);
  return JSON.parse(output) as Tracked;
}
