import {
  bodyOf,
  createDelivery,
  deliveryDefaults,
  type Platform,
  type Reply,
  utf8Bytes,
} from '@tidemark/core';
import { parseTime, type SentEvent } from '@tidemark/core/wire';
import { clockOffset, stampEvent } from '../../../../collector/src/ingest/stamp.ts';
import { type Chance, createChance } from './chance.ts';
import { createDeviceClocks } from './device.ts';
import { createVirtualTime, type VirtualTime } from './virtual-time.ts';

/**
 * Devices as they are: most clocks are right within seconds, the others by minutes, hours or days; they drift and are set, are offline for a while, and one
 * in ten has a slow uplink. Each runs the real engine for one session; the collector's own formula says when each event happened. What comes out is how far
 * that is from the truth.
 */
export interface FleetFigures {
  readonly events: number;
  /** Milliseconds between the stated and the true time: the median, and what 99 of 100 stay below. */
  readonly p50: number;
  readonly p99: number;
  /** Share of neighbours within a session whose order is turned round. */
  readonly inversions: number;
}

export interface FleetResult {
  readonly ours: FleetFigures;
  /** `receivedAt − (sentAt − occurredAt)` over the same requests. */
  readonly naive: FleetFigures;
  readonly devices: number;
}

export async function runFleet(seed: number, devices: number): Promise<FleetResult> {
  const ours: SessionTimes[] = [];
  const naive: SessionTimes[] = [];
  for (let index = 0; index < devices; index++) {
    const session = await runSession(createChance(seed * 1_000_003 + index));
    ours.push(session.ours);
    naive.push(session.naive);
  }
  return { ours: figures(ours), naive: figures(naive), devices };
}

/** Stated minus true time of each event, in milliseconds, and the true times, in the order they happened. */
interface SessionTimes {
  readonly errorsMs: readonly number[];
  readonly trueMs: readonly number[];
}

const minuteMs = 60_000;

async function runSession(chance: Chance): Promise<{ ours: SessionTimes; naive: SessionTimes }> {
  const time = createVirtualTime();
  const clocks = createDeviceClocks(time, chooseClock(chance));
  const lengthMs = Math.min(240, 10 * Math.exp(chance.normal())) * minuteMs;
  const offline = planOffline(chance, lengthMs);
  const link = createLink(time, chance, () =>
    offline.some(({ from, to }) => time.now() >= from && time.now() < to),
  );
  const happened: number[] = [];
  const statedOurs = new Map<string, number>();
  const statedNaive = new Map<string, number>();

  const platform: Platform = {
    now: clocks.wall,
    monotonic: clocks.monotonic,
    random: chance.next,
    after: (delayMs, run) => time.after(delayMs, run),
    bytesOf: utf8Bytes,
    encode: bodyOf,
    time: () => link(200, () => '{'),
    send: ({ body, sentAt, clock }) =>
      link(body.length, (receivedAtMs) => {
        const receivedAt = BigInt(Math.round(receivedAtMs * 1_000));
        const correction = clockOffset({
          sentAt: parseTime(sentAt),
          receivedAt,
          clock: clock && {
            offsetMicros: BigInt(Math.round(clock.offsetMs)) * 1_000n,
            rttMs: Math.round(clock.rttMs),
          },
        });
        for (const { id, occurredAt } of (JSON.parse(body) as { events: SentEvent[] }).events) {
          const at = parseTime(occurredAt ?? '');
          const sent = parseTime(sentAt);
          // Stored once: what came first counts.
          if (id === undefined || at === undefined || sent === undefined || statedOurs.has(id)) continue;
          statedOurs.set(id, Number(stampEvent(at, correction, receivedAt).eventTime) / 1_000);
          statedNaive.set(id, Number(receivedAt - (sent - at)) / 1_000);
        }
        return '{"accepted":0,"results":[],';
      }),
  };
  const delivery = createDelivery(platform, {
    ...deliveryDefaults,
    lingerMs: 1_000,
    batchBytesMax: 48_000,
  });

  for (let at = 0; at < lengthMs; at += -Math.log(1 - chance.next()) * 5_000) {
    let inBurst = at;
    for (let burst = chance.pick([1, 1, 1, 2, 5]); burst > 0; burst--) {
      time.after(inBurst, () => {
        delivery.track('event', { pad: 'x'.repeat(150) }, { id: `${happened.length}` });
        happened.push(time.trueMs());
      });
      inBurst += chance.between(0.1, 40);
    }
  }
  planSteps(chance, lengthMs, (atMs, ms) => time.after(atMs, () => clocks.step(ms(clocks.errorMs()))));
  await time.runUntil(lengthMs);
  for (let minute = 0; minute < 600 && delivery.held.events > 0; minute++)
    await time.runUntil(time.now() + minuteMs);
  const session = (stated: ReadonlyMap<string, number>): SessionTimes => ({
    trueMs: happened,
    errorsMs: happened.map((trueMs, index) => (stated.get(`${index}`) ?? Number.NaN) - trueMs),
  });
  return { ours: session(statedOurs), naive: session(statedNaive) };
}

/** 70 % within seconds; the rest by minutes, hours, days. A quartz is good for 20 ppm, some are worse. */
function chooseClock(chance: Chance): { offsetMs: number; driftPpm: number } {
  const hourMs = 60 * minuteMs;
  const [low, high] = chance.happens(0.7)
    ? [0, 5_000]
    : chance.pick([
        [minuteMs, 30 * minuteMs],
        [hourMs, 12 * hourMs],
        [24 * hourMs, 20 * 24 * hourMs],
      ]);
  const offsetMs = chance.between(low ?? 0, high ?? 0) * chance.pick([-1, 1]);
  return { offsetMs, driftPpm: chance.normal() * (chance.happens(0.1) ? 60 : 15) };
}

/** A quarter of the devices lose the network once or twice, for a minute up to two hours. */
function planOffline(chance: Chance, lengthMs: number): { from: number; to: number }[] {
  const spells = chance.happens(0.25) ? chance.integer(1, 2) : 0;
  return Array.from({ length: spells }, () => {
    const from = chance.between(0, lengthMs);
    return { from, to: from + minuteMs * Math.exp(chance.between(0, Math.log(120))) };
  });
}

/** One device in twelve has its clock set during the session: mostly put right, else moved by somebody. */
function planSteps(
  chance: Chance,
  lengthMs: number,
  plan: (atMs: number, ms: (errorMs: number) => number) => void,
): void {
  if (!chance.happens(1 / 12)) return;
  const aside = chance.pick([-1, 1]) * minuteMs * Math.exp(chance.between(0, Math.log(120)));
  const isPutRight = chance.happens(0.7);
  plan(chance.between(0, lengthMs), (errorMs) => (isPutRight ? chance.between(-50, 50) - errorMs : aside));
}

const requestTimeoutMs = 30_000;

/**
 * A way to the server. A connection that rested for ten seconds is made anew and costs two round trips before the request leaves. A slow
 * uplink is busy for a third of the time, for half a minute or so: a request then waits behind other traffic, which its answer does not.
 */
function createLink(time: VirtualTime, chance: Chance, isOffline: () => boolean) {
  const roundTripMs = 200 * Math.exp(0.6 * chance.normal());
  const isSlow = chance.happens(0.1);
  let connectedUntil = -Infinity;
  let isBusy = chance.happens(1 / 3);
  let busyUntil = 0;

  return (bytes: number, answer: (receivedAtMs: number) => string): Promise<Reply> =>
    new Promise((resolve, reject) => {
      time.after(requestTimeoutMs, () => reject(new Error('timeout')));
      if (isOffline()) return;
      const connectMs = time.now() < connectedUntil ? 0 : 2 * roundTripMs;
      const queueMs = isSlow && busy() ? exponential(7_000) : 0;
      const uploadMs = bytes / (isSlow ? 30 : 1_000);
      time.after(connectMs + queueMs + wayMs(), () => {
        if (isOffline()) return;
        const receivedAtMs = time.trueMs();
        time.after(uploadMs + chance.between(1, 10), () => {
          const start = answer(receivedAtMs);
          const times = `"receivedAt":"${iso(receivedAtMs)}","respondedAt":"${iso(time.trueMs())}"}`;
          time.after(wayMs(), () => {
            connectedUntil = time.now() + 10_000;
            if (!isOffline()) resolve({ status: 200, body: start + times });
          });
        });
      });
    });

  function busy(): boolean {
    while (busyUntil < time.now()) {
      isBusy = !isBusy;
      busyUntil += exponential(isBusy ? 30_000 : 60_000);
    }
    return isBusy;
  }

  function exponential(meanMs: number): number {
    return -Math.log(1 - chance.next()) * meanMs;
  }

  /** Half a round trip, and now and then some more. */
  function wayMs(): number {
    return (
      (roundTripMs / 2) * (1 + 0.15 * chance.next()) + (chance.happens(0.05) ? chance.between(0, 300) : 0)
    );
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function figures(sessions: readonly SessionTimes[]): FleetFigures {
  const errors = sessions.flatMap(({ errorsMs }) => errorsMs.map(Math.abs)).sort((a, b) => a - b);
  const at = (share: number): number => errors[Math.floor(errors.length * share)] ?? Number.NaN;
  let pairs = 0;
  let turned = 0;
  for (const { errorsMs, trueMs } of sessions) {
    for (let index = 1; index < trueMs.length; index++) {
      const before = Number(trueMs[index - 1]) + Number(errorsMs[index - 1]);
      const after = Number(trueMs[index]) + Number(errorsMs[index]);
      pairs++;
      if (after < before) turned++;
    }
  }
  return { events: errors.length, p50: at(0.5), p99: at(0.99), inversions: turned / pairs };
}
