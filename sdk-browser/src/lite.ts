import {
  addDropped,
  type AnyEvents,
  backoffMs,
  bodyOf,
  createSerialiser,
  type DroppedEvents,
  type EventShapes,
  judge,
  type LossReason,
  type Outcome,
  type Reply,
  type TrackArguments,
  type TrackOptions,
} from '@tidemark/core';
import { isPage } from './page.ts';
import { clocks, randomOfCrypto as random } from './platform.ts';

export interface LiteOptions {
  /** Where the collector is: `https://events.example.com`, or a path of this site that a proxy passes on. */
  readonly url: string;
  /** A write key. */
  readonly key: string;
  /** Milliseconds an event may wait for others to share its request. Default 500. */
  readonly lingerMs?: number;
  /** Events that wait at most; the newest are dropped beyond it. Default 10,000. */
  readonly queueEventsMax?: number;
  /** Told how many events were lost, and why: `queue_full`, `expired`, `invalid`, `too_large`, `rejected`. */
  readonly onLoss?: (reason: string, events: number) => void;
}

export interface LiteClient<Events extends EventShapes<Events> = AnyEvents> {
  /** Queues an event; returns at once and never throws. */
  track<Name extends keyof Events & string>(name: Name, ...rest: TrackArguments<Events[Name]>): void;
  /** Sends what is queued now, where the collector has not asked for quiet. */
  flush(): void;
}

/** Characters of a batch: in most texts so many bytes, and few enough for a page that is gone. */
const batchCharactersMax = 48_000;

/** The collector knows an id for 7 days: what was first sent longer ago is not sent again. */
const triedLifeMs = 6 * 86_400_000;

const requestTimeoutMs = 10_000;

interface Waiting {
  readonly text: string;
  triedAtMs?: number;
}

/**
 * The same wire and the same retries, in memory: what is not sent when the page ends is lost, and nothing is known of the clock. On a
 * server it does nothing.
 */
export function createLiteClient<Events extends EventShapes<Events> = AnyEvents>({
  url,
  key,
  lingerMs = 500,
  queueEventsMax = 10_000,
  onLoss,
}: LiteOptions): LiteClient<Events> {
  const { now, monotonic, after } = clocks;
  const serialise = createSerialiser(random);
  /** What is under way stays in front until its end is known. */
  const queue: Waiting[] = [];
  let batchEventsMax = 500;
  let failures = 0;
  let quietUntil = 0;
  let underWay = 0;
  let waits = false;
  /** What the collector was not told of yet, and what the batches tell until one has arrived. */
  let untold: DroppedEvents | undefined;
  let told: DroppedEvents | undefined;
  if (isPage()) for (const name of ['visibilitychange', 'pagehide', 'online']) addEventListener(name, flush);

  return { track, flush };

  function track(name: string, props?: object, options: TrackOptions = {}): void {
    if (!isPage()) return;
    if (queue.length >= queueEventsMax) return lose('queue_full', 1);
    try {
      queue.push({ text: serialise(now(), name, props, options) });
      wake(lingerMs);
    } catch {
      lose('invalid', 1);
    }
  }

  function lose(reason: LossReason, events: number): void {
    if (reason !== 'rejected') untold = addDropped(untold, { [reason]: events });
    try {
      onLoss?.(reason, events);
    } catch {
      // Delivery goes on, whatever the application's callback does.
    }
  }

  function wake(inMs: number): void {
    if (waits) return;
    waits = true;
    after(inMs, () => {
      waits = false;
      flush();
    });
  }

  function flush(): void {
    const at = monotonic();
    if (underWay > 0 || queue.length === 0) return;
    if (at < quietUntil) return wake(quietUntil - at);
    let characters = 0;
    const batch = queue.slice(0, batchEventsMax).filter(({ text }, index) => {
      characters += text.length + 1;
      return index === 0 || characters < batchCharactersMax;
    });
    underWay = batch.length;
    if (!told) {
      told = untold;
      untold = undefined;
    }
    for (const event of batch) event.triedAtMs ??= at;
    void post(bodyOf(batch.map(({ text }) => text)))
      .catch(() => undefined)
      .then((reply) => {
        settle(batch, judge(reply, now()));
        underWay = 0;
        flush();
      });
  }

  async function post(body: string): Promise<Reply> {
    const query = new URLSearchParams({
      key,
      sentAt: new Date(now()).toISOString(),
      ...(told && { dropped: JSON.stringify(told) }),
    });
    const response = await fetch(`${url.replace(/\/+$/, '')}/v1/events?${query}`, {
      method: 'POST',
      body,
      keepalive: body.length < 60_000,
      credentials: 'omit',
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    const retryAfter = response.headers.get('retry-after');
    return { status: response.status, retryAfter, body: await response.text() };
  }

  function settle(batch: readonly Waiting[], outcome: Outcome): void {
    const { length } = batch;
    if (outcome.results) {
      told = undefined;
      const rejected = outcome.results.filter(({ status }) => status === 'rejected').length;
      if (rejected > 0) lose('rejected', rejected);
    } else if (outcome.floorMs !== undefined) {
      const waitMs = backoffMs(++failures, random, { retryDelayMs: 500, retryDelayMsMax: 30_000 });
      quietUntil = monotonic() + Math.max(waitMs, outcome.floorMs);
      const expired = batch.filter(({ triedAtMs }) => monotonic() - (triedAtMs ?? 0) > triedLifeMs).length;
      queue.splice(0, expired);
      if (expired > 0) lose('expired', expired);
      return;
    } else if (outcome.refusal.status !== 413) lose('rejected', length);
    else if (length === 1) lose('too_large', 1);
    else {
      batchEventsMax = length >> 1;
      return;
    }
    failures = 0;
    batchEventsMax = 500;
    queue.splice(0, length);
  }
}
