import { backoffMs, lingerStretch } from './backoff.ts';
import { type Batch, halve, isFull } from './batch.ts';
import type { Clock } from './clock.ts';
import type { Keeper } from './keeper.ts';
import { judge, type Refusal } from './outcome.ts';
import type { Platform, Reply } from './platform.ts';
import type { Queue, QueuedEvent } from './queue.ts';
import type { LossReason, Reporter } from './report.ts';
import { restate } from './serialise.ts';
import type { DeliveryOptions } from './settings.ts';
import type { EventResult } from './wire/index.ts';

/**
 * The loop. A batch whose outcome is unknown is sent anew, with the same events, until the collector has said what became of each:
 *
 *     batch → (linger, or full) → attempt ─ stored, refused → end
 *                                 ▲    └─── later, split ─┐
 *                                 └───────────────────────┘
 *
 * What must stay true: every event is in exactly one batch of the queue, or has met its end, once. There is one wait for all (`quietUntil`):
 * nothing is sent before it is over. `pump` is the only place where a request begins.
 */
export interface Sender {
  /** Begins what may begin now, else sets the timer. */
  readonly pump: () => void;
  /** See `Delivery`. While one is under way, nothing lingers. */
  readonly flush: (timeoutMs: number) => Promise<FlushResult>;
  /** From now on nothing lingers, and there is no time for a clock sample any more. */
  readonly close: () => void;
  readonly isClosed: () => boolean;
  /** They have met their end: tells of them, and makes room for others. */
  readonly lose: (reason: LossReason, events: readonly QueuedEvent[], refusal?: Refusal) => void;
  /** Gives up what is pending, and returns it: answers that still come are ignored. */
  readonly stop: () => QueuedEvent[];
}

export interface FlushResult {
  /** Events that have not met their end, those tracked since included. */
  readonly pending: number;
}

export function createSender<Body>(
  platform: Platform<Body>,
  settings: DeliveryOptions,
  queue: Queue,
  clock: Clock,
  reporter: Reporter,
  keeper: Keeper,
): Sender {
  const { batches } = queue;
  /** Each looks whether what it waits for is over. */
  const flushes = new Set<(timeIsOver?: boolean) => void>();
  let requests = 0;
  let failures = 0;
  let pressure = 0;
  let quietUntil = 0;
  let forbiddenUntil = 0;
  let probed = false;
  let closed = false;
  let wakeAt = Infinity;
  let cancelWake: (() => void) | undefined;

  return {
    pump,
    flush,
    close() {
      hurry();
      closed = true;
      pump();
    },
    isClosed: () => closed,
    lose,
    stop() {
      const left = queue.list();
      queue.release(left);
      batches.length = 0;
      for (const look of flushes) look();
      return left;
    },
  };

  function pump(): void {
    while (requests < settings.requestsInFlight || platform.another?.()) {
      // A step since the last look decides over what follows.
      clock.now();
      const now = platform.monotonic();
      const batch = batches.find(({ busy }) => !busy);
      if (!batch) return;
      const waitMs = Math.max(quietUntil - now, dueInMs(batch));
      // The first linger is long enough to ask for the time.
      const probes = now >= quietUntil && probeIsDue();
      if (waitMs > 0 && !probes) return wake(waitMs);
      requests++;
      void (probes ? probe() : deliver(batch)).then(() => {
        requests--;
        pump();
      });
    }
  }

  /** In how many milliseconds it could go, were there no wait. */
  function dueInMs(batch: Batch): number {
    if (batch.tried || batch !== batches.at(-1) || isHurried() || isFull(batch, settings)) return 0;
    return (batch.members[0]?.queuedAt ?? 0) + settings.lingerMs * lingerStretch(pressure) - clock.elapsed();
  }

  /** A timer that rings too early sets itself anew: cheaper than a new one for every change. */
  function wake(inMs: number): void {
    const at = platform.monotonic() + inMs;
    if (at >= wakeAt) return;
    cancelWake?.();
    wakeAt = at;
    cancelWake = platform.after(Math.ceil(Math.min(inMs, 1e9)), () => {
      wakeAt = Infinity;
      pump();
    });
  }

  /** Only where there is no sample, and then once until something changes. */
  function probeIsDue(): boolean {
    return !closed && !probed && !requests && !clock.best() && !platform.another?.();
  }

  async function probe(): Promise<void> {
    probed = true;
    const reply = await clock.measure(() => platform.time()).catch(() => undefined);
    // A collector that is full or closing asks for quiet here too. Whatever else is wrong with this path must not hold back events.
    keepQuiet(judge(reply, clock.serverMs()).floorMs);
  }

  async function deliver(batch: Batch): Promise<void> {
    if (!batch.tried) batch.dropped = reporter.news();
    batch.tried = batch.busy = true;
    dropExpired(batch);
    const reply = await attempt(batch).catch(() => undefined);
    batch.busy = false;
    if (batches.includes(batch) && reply !== null) settle(batch, reply);
  }

  /** Rejects where there was no whole answer. */
  async function attempt(batch: Batch): Promise<Reply | null | undefined> {
    const { members, dropped } = batch;
    if (members.length === 0) return undefined;
    const untried = members.filter(({ triedAt }) => triedAt === undefined);
    for (const event of untried) event.triedAt = clock.elapsed();
    await keeper.trying(untried);

    // The same bytes on every attempt, unless the clock was set back.
    clock.now();
    const body = await platform.encode(members.map((event) => restate(event, clock)));

    // Meanwhile the answer to another request may have asked for quiet, or the batch may be nobody's any more.
    if (!batches.includes(batch) || platform.monotonic() < quietUntil) return null;
    return clock.measure((sentAt) => platform.send({ body, sentAt, clock: clock.best(), dropped }));
  }

  function dropExpired(batch: Batch): void {
    const now = clock.elapsed();
    const isExpired = ({ triedAt, queuedAt }: QueuedEvent): boolean =>
      triedAt === undefined ? now - queuedAt > settings.untriedLifeMs : now - triedAt > settings.triedLifeMs;
    const { members } = batch;
    const expired = members.filter(isExpired);
    // What was packed is not from here on: what is noted of an event must stay.
    batch.members = members.filter((event) => !isExpired(event));
    if (expired.length > 0) lose('expired', expired);
  }

  function settle(batch: Batch, reply: Reply | undefined): void {
    const outcome = judge(reply, clock.serverMs());
    const { floorMs, results, refusal } = outcome;
    const { members, dropped } = batch;
    if (reply) pressure = Number(reply.pressure);
    // With a sample none is due until a step has made it worthless. Without an answer the network may be another one now: ask again.
    if (!reply || clock.best()) probed = false;
    if (floorMs !== undefined && members.length > 0) {
      failures++;
      const waitMs = Math.max(floorMs, backoffMs(failures, platform.random, settings));
      keepQuiet(floorMs, waitMs);
      void keeper.keep();
      reporter.tell({ ...refusal, kind: 'delayed', waitMs, failures });
      return;
    }
    failures = 0;
    const isTooLarge = refusal?.status === 413;
    const isSplit = isTooLarge && members.length > 1;
    batches.splice(batches.indexOf(batch), 1, ...(isSplit ? halve(batch) : []));
    // An old object would keep the young ones alive until V8 looks at all of them.
    batch.members = [];
    if (results) stored(members, results);
    else if (!isSplit) {
      reporter.untell(dropped);
      lose(isTooLarge ? 'too_large' : 'rejected', members, refusal);
    }
  }

  function stored(events: readonly QueuedEvent[], results: readonly EventResult[]): void {
    const { counters } = reporter;
    counters.sent += events.length;
    for (const result of results) {
      const event = events[result.index];
      if (!event || result.status === 'accepted') continue;
      counters.sent--;
      if (result.status === 'duplicate') counters.duplicates++;
      else {
        const { code, message } = result;
        reporter.lose('rejected', [event], { status: 200, code, message });
      }
    }
    ended(events);
  }

  function lose(reason: LossReason, events: readonly QueuedEvent[], refusal?: Refusal): void {
    reporter.lose(reason, events, refusal);
    ended(events);
  }

  function ended(events: readonly QueuedEvent[]): void {
    queue.release(events);
    keeper.forget(events);
    platform.ended?.(events);
    for (const look of flushes) look();
  }

  function flush(timeoutMs: number): Promise<FlushResult> {
    const end = queue.begun();
    return new Promise((resolve) => {
      const look = (timeIsOver?: boolean): void => {
        const [oldest] = batches;
        if (!timeIsOver && oldest && oldest.order < end) return;
        cancel();
        flushes.delete(look);
        resolve({ pending: queue.held.events });
      };
      const cancel = platform.after(timeoutMs, () => look(true));
      hurry();
      flushes.add(look);
      pump();
      look();
    });
  }

  /** Whoever flushes gets an attempt at once, where the server does not forbid it. */
  function hurry(): void {
    if (!isHurried()) quietUntil = forbiddenUntil;
  }

  function isHurried(): boolean {
    return closed || flushes.size > 0;
  }

  /** Sends nothing for `waitMs`; for `floorMs` not even for those who flush. */
  function keepQuiet(floorMs = 0, waitMs = floorMs): void {
    const now = platform.monotonic();
    forbiddenUntil = Math.max(forbiddenUntil, now + floorMs);
    quietUntil = Math.max(quietUntil, now + waitMs);
  }
}
