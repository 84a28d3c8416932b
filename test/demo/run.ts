import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type Report } from '@tidemark/node';
import { paths, type StoredEvent } from '@tidemark/core/wire';
import type { Flight } from './flights.ts';

/** Where the collector is, and the keys to it. */
export interface Target {
  readonly url: string;
  readonly keys: { readonly write: string; readonly read: string; readonly admin: string };
  readonly stream: string;
}

/** What was sent and what came back. */
export interface DemoRun {
  /** The stream was there already: an earlier run has made it. */
  readonly again: boolean;
  readonly accepted: number;
  readonly duplicates: number;
  /** Events that the client gave up, with the reasons. */
  readonly losses: readonly string[];
  readonly sendMs: number;
  readonly events: readonly StoredEvent[];
  readonly readMs: number;
}

/** How long readers wait for stragglers once the history is in. */
const liveDelayMs = 5_000;
const flushMs = 120_000;
const watermarkMsMax = 30_000;
const dayMs = 86_400_000;

/**
 * An import of history. While it goes on the stream waits for anything since the first flight, so that each event is placed at
 * its own time, in whatever order they come; then the delay is lowered, the watermark follows, and the stream can be read.
 *
 * `arrivals` are in the order in which they are sent.
 */
export async function runDemo(target: Target, arrivals: readonly Flight[]): Promise<DemoRun> {
  const first = Math.min(...arrivals.map(({ scheduledMs }) => scheduledMs));
  const last = Math.max(...arrivals.map(({ scheduledMs }) => scheduledMs));
  const again = await exists(target);
  // A stream that has been read to somewhere cannot take history below that any more: it is made for backfill once.
  if (!again) await putStream(target, Date.now() - first + dayMs);

  const sent = await send(target, arrivals);
  await putStream(target, liveDelayMs);
  await waitForWatermark(target, last);
  const read = await readAll(target);
  return { again, ...sent, ...read };
}

async function send({ url, keys, stream }: Target, arrivals: readonly Flight[]) {
  const losses: string[] = [];
  const onReport = (report: Report): void => {
    if (report.kind === 'lost')
      losses.push(`${report.events.length} lost: ${report.reason} ${report.message ?? ''}`);
  };
  const client = createClient({ url, key: keys.write, correctClock: false, onReport });
  const startedAt = performance.now();
  try {
    for (const { id, scheduledAt, origin, destination, distanceMiles, delayMinutes } of arrivals) {
      const props = { destination, distanceMiles, delayMinutes };
      const crowded = client.track('flight.arrived', props, {
        id,
        stream,
        key: origin,
        occurredAt: scheduledAt,
      });
      if (crowded !== undefined) await crowded;
    }
    const { pending } = await client.flush({ timeoutMs: flushMs });
    if (pending > 0) losses.push(`${pending} not sent within ${flushMs} ms`);
  } finally {
    await client.close();
  }
  const { sent: accepted, duplicates } = client.counters();
  return { accepted, duplicates, losses, sendMs: performance.now() - startedAt };
}

async function readAll({ url, keys, stream }: Target) {
  const client = createClient({ url, key: keys.read });
  const startedAt = performance.now();
  try {
    const events: StoredEvent[] = [];
    for await (const event of client.read(stream, { follow: false })) events.push(event);
    return { events, readMs: performance.now() - startedAt };
  } finally {
    await client.close();
  }
}

/** Waits until everything up to a moment can be read. */
async function waitForWatermark(target: Target, ms: number): Promise<void> {
  const deadline = AbortSignal.timeout(watermarkMsMax);
  for (;;) {
    const { watermark } = (await ask(target, 'GET').then(expectOk)) as { readonly watermark: string };
    if (Date.parse(watermark) > ms) return;
    if (deadline.aborted) throw new Error(`the watermark stays at ${watermark} for ${watermarkMsMax} ms`);
    await sleep(50);
  }
}

async function exists(target: Target): Promise<boolean> {
  const response = await ask(target, 'GET');
  if (response.status === 404) return false;
  await expectOk(response);
  return true;
}

async function putStream(target: Target, watermarkDelayMs: number): Promise<void> {
  await ask(target, 'PUT', { watermarkDelayMs }).then(expectOk);
}

function ask({ url, keys, stream }: Target, method: 'GET' | 'PUT', body?: object): Promise<Response> {
  return fetch(new URL(paths.stream(stream), url), {
    method,
    headers: { authorization: `Bearer ${keys.admin}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function expectOk(response: Response): Promise<unknown> {
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`);
  return await response.json();
}
