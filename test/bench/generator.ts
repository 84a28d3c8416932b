// The load generator: a process of its own, so that what it costs is seen and does not slow down what is measured. It is told what to
// do by messages, and answers each with one.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BatchReply, type Page, paths } from '@tidemark/core/wire';
import { Pool } from 'undici';
import { type Fresh, freshen } from './fresh.ts';
import type { Answer, Followed, Following, Offered, Offering, Order, Sending, Sent } from './generate.ts';

let bodies: readonly Buffer[] = [];

process.on('message', (order: Order) => {
  carryOut(order).then(
    (result) => reply({ result }),
    (error: unknown) =>
      reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});

async function carryOut(order: Order): Promise<number | Sent | Followed | Offered> {
  if (order.kind === 'offer') return await offer(order.what);
  if (order.kind === 'send') return await send(order.what, undefined);
  if (order.kind === 'follow') return await sendAndFollow(order.what);
  bodies = await readLines(order.file);
  return bodies.length;
}

/** Sends all bodies, each on the next connection that is free, and no sooner than it is due. */
async function send(
  order: Sending,
  onBatch: ((batch: number, times: BatchTimes) => void) | undefined,
): Promise<Sent> {
  const { url, key, connections, batches, batchesPerSecond, eventsPerBatch, fresh } = order;
  const { secondsMax = Number.POSITIVE_INFINITY } = order;
  const pool = new Pool(url, { connections });
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const tookMs: number[] = [];
  const answeredAtMs: number[] = [];
  let next = 0;

  async function work(startedMs: number): Promise<void> {
    const endMs = startedMs + secondsMax * 1_000;
    for (let batch = next++; batch < batches && performance.now() < endMs; batch = next++) {
      const dueMs =
        batchesPerSecond === undefined ? performance.now() : startedMs + (batch / batchesPerSecond) * 1_000;
      if (dueMs > performance.now()) await sleep(dueMs - performance.now());
      const body = bodyOf(batch, fresh);
      const sentMs = performance.now();
      const answer = await pool.request({ method: 'POST', path: paths.events, headers, body });
      const text = await answer.body.text();
      const accepted = answer.statusCode === 200 ? (JSON.parse(text) as BatchReply).accepted : 0;
      if (accepted !== eventsPerBatch)
        throw new Error(`batch ${batch}: ${answer.statusCode} ${text.slice(0, 500)}`);
      const acknowledgedMs = performance.now();
      tookMs.push(acknowledgedMs - sentMs);
      answeredAtMs.push(performance.timeOrigin + acknowledgedMs);
      onBatch?.(batch, { dueMs, acknowledgedMs });
    }
  }

  const startedMs = performance.now();
  try {
    await Promise.all(Array.from({ length: connections }, () => work(startedMs)));
    return {
      events: tookMs.length * eventsPerBatch,
      seconds: (performance.now() - startedMs) / 1_000,
      tookMs: Float64Array.from(tookMs),
      answeredAtMs: Float64Array.from(answeredAtMs),
    };
  } finally {
    await pool.destroy();
  }
}

function bodyOf(batch: number, fresh: Fresh | undefined): Buffer {
  const body = bodies[batch % bodies.length];
  if (body === undefined) throw new Error('there is nothing to send yet');
  return fresh === undefined ? body : freshen(body, fresh, batch);
}

/** An open loop: how fast it sends does not depend on how fast it is answered, as with many clients that know nothing of each other. */
async function offer({
  url,
  key,
  connections,
  batchesPerSecond,
  seconds,
  fresh,
}: Offering): Promise<Offered> {
  const pool = new Pool(url, { connections });
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const acceptedMs: number[] = [];
  const counts = { refused: 0, failed: 0, withoutRetryAfter: 0 };
  const underWay = new Set<Promise<void>>();

  async function sendOne(body: Buffer): Promise<void> {
    const sentMs = performance.now();
    try {
      const answer = await pool.request({ method: 'POST', path: paths.events, headers, body });
      await answer.body.dump();
      if (answer.statusCode === 200) acceptedMs.push(performance.now() - sentMs);
      else if (answer.statusCode === 429) counts.refused += 1;
      else counts.failed += 1;
      if (answer.statusCode === 429 && !/^[1-9]\d*$/.test(String(answer.headers['retry-after'])))
        counts.withoutRetryAfter += 1;
    } catch {
      counts.failed += 1;
    }
  }

  const startedMs = performance.now();
  const batches = Math.round(batchesPerSecond * seconds);
  try {
    for (let batch = 0; batch < batches; ) {
      const dueBatches = Math.min(batches, ((performance.now() - startedMs) / 1_000) * batchesPerSecond);
      for (; batch < dueBatches; batch += 1) {
        const sending: Promise<void> = sendOne(bodyOf(batch, fresh)).finally(() => underWay.delete(sending));
        underWay.add(sending);
      }
      await sleep(2);
    }
    await Promise.all(underWay);
    return {
      answeredSeconds: (performance.now() - startedMs) / 1_000,
      accepted: acceptedMs.length,
      acceptedMs: Float64Array.from(acceptedMs),
      ...counts,
    };
  } finally {
    await pool.destroy();
  }
}

interface BatchTimes {
  readonly dueMs: number;
  readonly acknowledgedMs: number;
}

/** Sends at a steady pace while a reader follows the stream, and notes for each event how long it took to come out. */
async function sendAndFollow(order: Following): Promise<Followed> {
  const stopped = new AbortController();
  const dueMs = new Map<number, number>();
  const acknowledgedMs = new Map<number, number>();
  const arrivals: { readonly batch: number; readonly atMs: number }[] = [];
  const start = await readPage(order, 'from=latest', stopped.signal);

  async function follow(): Promise<void> {
    const expected = order.batches * order.eventsPerBatch;
    for (let cursor = start.nextCursor; arrivals.length < expected; ) {
      const page = await readPage(
        order,
        `cursor=${cursor}&wait=20&limit=10000&maxBytes=16777216`,
        stopped.signal,
      );
      const atMs = performance.now();
      for (const { props } of page.events) arrivals.push({ batch: Number(props?.['batch']), atMs });
      cursor = page.nextCursor;
    }
  }

  const following = follow();
  const deadline = setTimeout(() => stopped.abort(new Error('the events did not come')), order.deadlineMs);
  try {
    const sending = send(order, (batch, times) => {
      dueMs.set(batch, times.dueMs);
      acknowledgedMs.set(batch, times.acknowledgedMs);
    });
    const [sent] = await Promise.all([sending, following]);
    const since = (begin: ReadonlyMap<number, number>) =>
      Float64Array.from(arrivals, ({ batch, atMs }) => Math.max(0, atMs - (begin.get(batch) ?? Number.NaN)));
    return { ...sent, sinceDueMs: since(dueMs), sinceAcknowledgedMs: since(acknowledgedMs) };
  } finally {
    clearTimeout(deadline);
    stopped.abort();
    await following.catch(() => {});
  }
}

async function readPage(
  { url, readKey, stream }: Following,
  query: string,
  signal: AbortSignal,
): Promise<Page> {
  const path = `${paths.streamEvents(stream)}?${query}`;
  const response = await fetch(new URL(path, url), {
    headers: { authorization: `Bearer ${readKey}` },
    signal,
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Page;
}

async function readLines(file: string): Promise<readonly Buffer[]> {
  const bytes = await readFile(file);
  const lines: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0x0a, from);
    lines.push(bytes.subarray(from, end));
    from = end + 1;
  }
  return lines;
}

function reply(answer: Answer): void {
  process.send?.(answer);
}
