import {
  type Attempt,
  bodyOf,
  createDelivery as createRealDelivery,
  deliveryDefaults,
  type Delivery,
  type KeptEvent,
  type Platform,
  type Reply,
  utf8Bytes,
} from '@tidemark/core';
import type { SentEvent } from '@tidemark/core/wire';
import { createChance } from './chance.ts';
import { chooseSettings, chooseStepMs, chooseWeather } from './choices.ts';
import { createModelCollector } from './collector.ts';
import { createDeviceClocks } from './device.ts';
import { createNetwork, fairWeather } from './network.ts';
import { createModelStore, saveMs } from './store.ts';
import { createVirtualTime } from './virtual-time.ts';

/**
 * One life of a client, made from a seed: bursts of events, bad weather, clock steps, sleep, crashes with a store. Every rule that the
 * engine promises is checked on the way and at the end; the faults found are returned.
 */
export interface RunResult {
  readonly faults: readonly string[];
  readonly events: number;
  readonly requests: number;
  readonly crashes: number;
  /** How many met which end. */
  readonly ends: Readonly<Record<string, number>>;
}

/** What a test may break on purpose, to see it caught. */
export interface Sabotage {
  readonly createDelivery?: typeof createRealDelivery;
  readonly platform?: (platform: Platform) => Platform;
  readonly kept?: (events: readonly KeptEvent[]) => readonly KeptEvent[];
}

export async function runSchedule(seed: number, sabotage: Sabotage = {}): Promise<RunResult> {
  const chance = createChance(seed);
  const time = createVirtualTime();
  const faults: string[] = [];
  const fail = (what: string): void => {
    if (faults.length < 20) faults.push(`${what} (seed ${seed}, at ${Math.round(time.now())} ms)`);
  };
  const settings = chooseSettings(chance);
  const collector = createModelCollector(
    time,
    chance,
    { bodyBytes: chance.pick([1_500, 100_000]), batchEvents: chance.pick([7, 1_000]) },
    ({ name }) => name === 'refused',
  );
  const clocks = createDeviceClocks(time, {
    offsetMs: chance.pick([0, 300, -90_000, 3_600_000, -40 * 365 * 86_400_000]),
    driftPpm: chance.between(-50, 50),
  });
  const persistent = chance.happens(0.5);
  let weather = fairWeather;
  const tracked = new Map<string, Tracked>();
  let requests = 0;
  let crashes = 0;
  let stopped = false;
  let life = begin([]);

  const horizonMs = chance.pick([20_000, 120_000, 600_000]);
  const names = ['ok', 'ok', 'ok', 'ok', 'ok', 'refused', 'large'];
  planWeather();
  planEvents();
  planDisturbances();
  await time.runUntil(horizonMs);
  weather = fairWeather;
  if (chance.happens(0.3)) {
    const before = life;
    before.delivery.close();
    void before.delivery.flush(chance.pick([0, 100, 60_000])).then(() => {
      before.delivery.lose('closed', before.delivery.stop());
      stopped = true;
    });
  }
  // Long enough for a demand for quiet, a minute for a refused key, and then everything.
  for (let hour = 1; hour <= 40 && life.delivery.held.events > 0; hour++) {
    await time.runUntil(time.now() + 60_000);
  }
  await time.runUntil(time.now() + 1_000);
  if (!stopped) life.check();
  checkEnds();
  return { faults, events: tracked.size, requests, crashes, ends: countEnds() };

  interface Tracked {
    readonly at: number;
    readonly callersTime: string | undefined;
    readonly bornInThisLife: () => boolean;
    firstText: string | undefined;
    setBack: boolean;
    firstTriedAt: number | undefined;
    /** Times it met its end, and how. */
    readonly ends: string[];
    maybeLostByCrash: boolean;
  }

  function begin(kept: readonly KeptEvent[]): Life {
    let alive = true;
    let underWay = 0;
    let quietUntil = -Infinity;
    const ended = new Set<number>();
    const store = createModelStore(time, chance);
    const network = createNetwork(time, chance, collector, () => weather, settings.requestTimeoutMs, {
      started,
      replied,
    });
    const whileAlive = (reply: Promise<Reply>): Promise<Reply> =>
      new Promise((resolve, reject) => {
        reply.then(
          (value) => alive && resolve(value),
          (error: unknown) => alive && reject(error),
        );
      });
    const honest: Platform = {
      now: clocks.wall,
      monotonic: clocks.monotonic,
      random: chance.next,
      after: (delayMs, run) => time.after(delayMs, () => alive && run()),
      bytesOf: utf8Bytes,
      encode: (events) => (chance.happens(0.5) ? bodyOf(events) : Promise.resolve(bodyOf(events))),
      send: (attempt) => whileAlive(network.send(attempt)),
      time: () => whileAlive(network.time()),
      store: persistent ? store : undefined,
      ended(events) {
        for (const event of events) {
          if (ended.has(event.sequence)) fail(`met its end twice: ${event.json}`);
          ended.add(event.sequence);
          track(event.json)?.ends.push('ended');
        }
      },
    };
    const platform = sabotage.platform?.(honest) ?? honest;
    const delivery: Delivery = (sabotage.createDelivery ?? createRealDelivery)(platform, {
      ...deliveryDefaults,
      ...settings,
      onReport(report) {
        if (report.kind === 'lost') {
          for (const { id } of report.events) {
            tracked.get(id ?? '')?.ends.push(report.status === 200 ? 'refused' : report.reason);
          }
        }
        if (chance.happens(0.1)) throw new Error('a callback that throws');
        return chance.happens(0.1) ? Promise.reject(new Error('a callback that rejects')) : undefined;
      },
    });
    const taken = delivery.adopt(kept);
    for (const [, text] of kept.slice(taken.length)) markLost(text);
    // What an earlier run left stays where it is, also should the next crash come at once.
    store.saveNow(taken);

    return { delivery, check, crash };

    function started(attempt: Attempt | undefined): void {
      requests++;
      underWay++;
      if (underWay > settings.requestsInFlight) fail(`${underWay} requests at once`);
      // The timer may be a moment early by the engine's own clock, whose rate is not that of true time.
      if (clocks.monotonic() < quietUntil - 0.001)
        fail(`sent ${quietUntil - clocks.monotonic()} ms too early`);
      if (!attempt) return;
      if (attempt.sentAt !== new Date(clocks.wall()).toISOString())
        fail(`sentAt is stale: ${attempt.sentAt}`);
      for (const event of eventsOf(attempt)) checkAttempt(event, attempt.sentAt);
    }

    function replied(reply: Reply | undefined): void {
      underWay--;
      if (!reply) return;
      const body = reply.body.startsWith('{') ? (JSON.parse(reply.body) as { retryAfterMs?: number }) : {};
      const waitMs = Math.max(body.retryAfterMs ?? 0, Number(reply.retryAfter ?? 0) * 1_000);
      if (reply.status !== 200) quietUntil = Math.max(quietUntil, clocks.monotonic() + waitMs);
    }

    function check(): void {
      const { queued, sent, duplicates, rejected, dropped } = delivery.counters;
      const given = Object.values(dropped).reduce((sum, count) => sum + count, 0);
      const pending = delivery.held.events;
      if (queued !== sent + duplicates + rejected + given + pending) {
        fail(`the counters do not add up: ${JSON.stringify({ ...delivery.counters, pending })}`);
      }
      if (delivery.pending().length !== pending)
        fail(`${pending} held, ${delivery.pending().length} pending`);
      if (pending > settings.queueEventsMax || delivery.held.bytes > settings.queueBytesMax) {
        fail(`more is held than allowed: ${pending} events, ${delivery.held.bytes} bytes`);
      }
    }

    function crash(): readonly KeptEvent[] {
      check();
      alive = false;
      const found = sabotage.kept?.(store.crash()) ?? store.crash();
      const safe = new Set(found.map(([, text]) => idOf(text)));
      for (const event of delivery.pending()) {
        const id = idOf(event.json);
        const fact = tracked.get(id);
        if (!fact || safe.has(id)) continue;
        fact.maybeLostByCrash = true;
        if (persistent && time.now() - fact.at > settings.saveAfterMs + 5 + saveMs * 2) {
          fail(`a crash lost an event of ${time.now() - fact.at} ms ago`);
        }
      }
      return persistent ? found : [];
    }
  }

  function checkAttempt(event: SentEvent, sentAt: string): void {
    const fact = tracked.get(event.id ?? '');
    if (!fact) return fail(`sent what was never tracked: ${JSON.stringify(event)}`);
    const text = JSON.stringify(event);
    fact.firstText ??= text;
    fact.firstTriedAt ??= time.now();
    if (text !== fact.firstText && !fact.setBack)
      fail(`other bytes than at first: ${text} ${fact.firstText}`);
    if (fact.callersTime && event.occurredAt !== fact.callersTime)
      fail(`a caller's time was changed: ${text}`);
    // After a step back: never later than its age says. Steps of less than a second are none.
    const ageMs = time.now() - fact.at;
    if (fact.setBack && fact.bornInThisLife() && !fact.callersTime) {
      const latest = Date.parse(sentAt) - ageMs + 1_000;
      if (Date.parse(event.occurredAt ?? '') > latest) fail(`not restated: ${text}, sent ${sentAt}`);
    }
  }

  function planWeather(): void {
    for (let at = 0; at < horizonMs; at += chance.between(1_000, 60_000)) {
      time.after(at, () => {
        weather = chooseWeather(chance);
      });
    }
  }

  function planEvents(): void {
    const count = chance.integer(5, 150);
    for (let index = 0; index < count; ) {
      const at = chance.between(0, horizonMs);
      for (let burst = chance.pick([1, 1, 5, 40]); burst > 0 && index < count; burst--) {
        const id = `e${index++}`;
        const callersTime = chance.happens(0.1) ? '2020-02-02T02:02:02.000001Z' : undefined;
        time.after(at, () => trackOne(id, callersTime));
      }
    }
  }

  function trackOne(id: string, callersTime: string | undefined): void {
    const name = chance.pick(names);
    const bornIn = life;
    const fact: Tracked = {
      at: time.now(),
      bornInThisLife: () => life === bornIn,
      callersTime,
      firstText: undefined,
      setBack: false,
      firstTriedAt: undefined,
      ends: [],
      maybeLostByCrash: false,
    };
    tracked.set(id, fact);
    const size = name === 'large' ? chance.pick([900, 1_600, 2_600]) : chance.integer(0, 200);
    life.delivery.track(name, { pad: 'x'.repeat(size) }, { id, occurredAt: callersTime });
    const taken = life.delivery.pending().some(({ json }) => json.includes(JSON.stringify(id)));
    if (!taken && fact.ends.length !== 1) fail(`not taken, but told ${fact.ends.length} times`);
    life.check();
  }

  function planDisturbances(): void {
    for (let index = chance.integer(0, 4); index > 0; index--) {
      time.after(chance.between(0, horizonMs), () => {
        const ms = chooseStepMs(chance);
        clocks.step(ms);
        if (ms <= -1_000) for (const fact of tracked.values()) fact.setBack = true;
      });
    }
    if (chance.happens(0.2))
      time.after(chance.between(0, horizonMs), () =>
        time.sleep(chance.pick([5_000, 3_600_000, 10 * 86_400_000])),
      );
    for (let index = chance.integer(0, 3); index > 0; index--) {
      time.after(
        chance.between(0, horizonMs),
        () => void life.delivery.flush(chance.pick([10, 1_000, 60_000])),
      );
    }
    for (let index = chance.pick([0, 0, 1, 3]); index > 0; index--) {
      time.after(chance.between(0, horizonMs), () => {
        crashes++;
        life = begin(life.crash());
      });
    }
  }

  function checkEnds(): void {
    if (life.delivery.held.events > 0) fail(`${life.delivery.held.events} events never met their end`);
    for (const [id, { ends, maybeLostByCrash }] of tracked) {
      const lost = ends.filter((end) => end !== 'ended');
      const isStored = collector.stored.has(id);
      if (ends.length === 0 && !maybeLostByCrash) fail(`${id} met no end`);
      if (crashes === 0 && lost.length > 1) fail(`${id} was reported lost twice: ${lost.join()}`);
      if (!isStored && lost.length === 0 && !maybeLostByCrash) fail(`${id} is neither stored nor reported`);
      if (isStored && (lost.includes('refused') || lost.includes('invalid')))
        fail(`${id} is stored and reported`);
      if (isStored && lost.includes('queue_full') && settings.whenFull === 'dropNewest') {
        fail(`${id} is stored and was dropped`);
      }
    }
  }

  function countEnds(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [id, { ends }] of tracked) {
      const end =
        ends.find((reason) => reason !== 'ended') ?? (collector.stored.has(id) ? 'stored' : 'crash');
      counts[end] = (counts[end] ?? 0) + 1;
    }
    return counts;
  }

  function track(text: string): Tracked | undefined {
    return tracked.get(idOf(text));
  }

  function markLost(text: string): void {
    const fact = track(text);
    if (fact) fact.maybeLostByCrash = true;
  }
}

interface Life {
  readonly delivery: Delivery;
  check(): void;
  crash(): readonly KeptEvent[];
}

function eventsOf({ body }: Attempt): readonly SentEvent[] {
  return (JSON.parse(body) as { events: readonly SentEvent[] }).events;
}

function idOf(text: string): string {
  return (JSON.parse(text) as SentEvent).id ?? '';
}
