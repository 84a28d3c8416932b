import {
  bodyOf,
  createDelivery,
  deliveryDefaults,
  type Attempt,
  type Delivery,
  type DeliveryOptions,
  type Platform,
  type Reply,
  type Report,
  utf8Bytes,
} from '@tidemark/core';
import type { EventResult, SentEvent } from '@tidemark/core/wire';
import { createChance } from './simulation/chance.ts';
import { createDeviceClocks, type DeviceClocks } from './simulation/device.ts';
import { createVirtualTime, type VirtualTime } from './simulation/virtual-time.ts';

/** An engine on virtual time whose requests the test answers. */
export interface Rig {
  readonly time: VirtualTime;
  readonly clocks: DeviceClocks;
  readonly platform: Platform;
  readonly delivery: Delivery;
  readonly reports: Report[];
  /** Requests to post events, as they started. */
  readonly attempts: (Attempt & { readonly at: number; readonly events: readonly SentEvent[] })[];
  /** When `GET /v1/time` was asked. */
  readonly probes: number[];
  /** What comes back for a post and how many milliseconds later. A string: the connection is cut. */
  answer: (attempt: Attempt, index: number) => Reply | string;
  answerTime: () => Reply | string;
  wayMs: number;
  pass(ms: number): Promise<void>;
}

export function createRig(
  options: Partial<DeliveryOptions> = {},
  parts: Pick<Platform, 'ended' | 'store'> = {},
  device: { offsetMs?: number; driftPpm?: number } = {},
): Rig {
  const time = createVirtualTime();
  const clocks = createDeviceClocks(time, device);
  const chance = createChance(1);
  const reports: Report[] = [];
  const platform: Platform = {
    now: clocks.wall,
    monotonic: clocks.monotonic,
    random: chance.next,
    after: (delayMs, run) => time.after(delayMs, run),
    bytesOf: utf8Bytes,
    encode: bodyOf,
    send(attempt) {
      const { events } = JSON.parse(attempt.body) as { events: SentEvent[] };
      rig.attempts.push({ ...attempt, at: time.now(), events });
      return travel(() => rig.answer(attempt, rig.attempts.length - 1));
    },
    time() {
      rig.probes.push(time.now());
      return travel(() => rig.answerTime());
    },
    ...parts,
  };
  const rig: Rig = {
    time,
    clocks,
    platform,
    delivery: createDelivery(platform, {
      ...deliveryDefaults,
      onReport: (report) => reports.push(report),
      ...options,
    }),
    reports,
    attempts: [],
    probes: [],
    answer: () => ok(time),
    answerTime: () => ok(time),
    wayMs: 10,
    pass: (ms) => time.runUntil(time.now() + ms),
  };
  return rig;

  function travel(answer: () => Reply | string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      time.after(rig.wayMs, () => {
        const reply = answer();
        time.after(rig.wayMs, () => {
          if (typeof reply === 'string') reject(new Error(reply));
          else resolve(reply);
        });
      });
    });
  }
}

/** The collector's answer to a batch that it has stored. */
export function ok(time: VirtualTime, results: readonly EventResult[] = [], pressure?: string): Reply {
  const now = new Date(time.trueMs()).toISOString();
  return {
    status: 200,
    pressure,
    body: JSON.stringify({ receivedAt: now, respondedAt: now, accepted: 0, results }),
  };
}

export function problem(status: number, code: string, extra: object = {}, retryAfter?: string): Reply {
  return { status, retryAfter, body: JSON.stringify({ status, code, detail: `it was ${code}`, ...extra }) };
}
