import type { Attempt, Platform, Reply } from '@tidemark/core';
import type { Chance } from './chance.ts';
import type { ModelCollector } from './collector.ts';
import type { VirtualTime } from './virtual-time.ts';

/** How likely each fault is for one request. What is left over is a healthy answer. */
export interface Weather {
  /** Cut before the collector had it all. */
  readonly cutBefore: number;
  /** Stored, and then the reply is lost. */
  readonly cutAfter: number;
  /** No answer until the client gives up; half of these are stored, possibly after that. */
  readonly hang: number;
  readonly overloaded: number;
  readonly unavailable: number;
  /** The whole request is refused for good. */
  readonly malformed: number;
  /** The key is not taken. */
  readonly locked: number;
  /** Something in between answers 200 with a page of its own. */
  readonly portal: number;
  /** One way, in milliseconds, at most. */
  readonly delayMs: number;
}

const faults = [
  'cutBefore',
  'cutAfter',
  'hang',
  'overloaded',
  'unavailable',
  'malformed',
  'locked',
  'portal',
] as const;

type Fault = (typeof faults)[number];

export const fairWeather: Weather = {
  cutBefore: 0,
  cutAfter: 0,
  hang: 0,
  overloaded: 0,
  unavailable: 0,
  malformed: 0,
  locked: 0,
  portal: 0,
  delayMs: 50,
};

export type Network = Pick<Platform, 'send' | 'time'>;

/** Told of every request as it starts and of every reply as it arrives. */
export interface NetworkWatch {
  readonly started: (attempt: Attempt | undefined) => void;
  readonly replied: (reply: Reply | undefined, attempt: Attempt | undefined) => void;
}

export function createNetwork(
  time: VirtualTime,
  chance: Chance,
  collector: ModelCollector,
  weather: () => Weather,
  timeoutMs: number,
  watch: NetworkWatch,
): Network {
  return {
    send: (attempt) => exchange(attempt, (at) => collector.post(attempt.body, at)),
    time: () => exchange(undefined, (at) => collector.time(at)),
  };

  function exchange(attempt: Attempt | undefined, answer: (receivedAt: number) => Reply): Promise<Reply> {
    watch.started(attempt);
    return new Promise((resolve, reject) => {
      let over = false;
      const end = (reply?: Reply): void => {
        if (over) return;
        over = true;
        watch.replied(reply, attempt);
        if (reply) resolve(reply);
        else reject(new Error('no answer'));
      };
      time.after(timeoutMs, end);
      travel(() => {
        const receivedAt = time.trueMs();
        const fault = draw();
        if (fault === 'hang') {
          // What the client has given up on may still be stored, later than what it sends next.
          if (chance.happens(0.5)) time.after(chance.between(0, timeoutMs * 2), () => answer(receivedAt));
          return;
        }
        const instead = replyInstead(fault, attempt !== undefined);
        if (fault === 'cutBefore') end();
        else if (instead) travel(() => end(instead));
        else {
          travel(() => {
            const reply = answer(receivedAt);
            travel(() => end(fault === 'cutAfter' ? undefined : reply));
          });
        }
      });
    });
  }

  function travel(run: () => void): void {
    time.after(chance.between(1, weather().delayMs), run);
  }

  function draw(): Fault | undefined {
    const sky = weather();
    let left = chance.next();
    return faults.find((fault) => {
      left -= sky[fault];
      return left < 0;
    });
  }

  function replyInstead(fault: Fault | undefined, isPost: boolean): Reply | undefined {
    if (fault === 'overloaded') return busy(429, 'overloaded');
    if (fault === 'unavailable') return busy(503, 'store_unavailable');
    if (fault === 'malformed' && isPost) return collector.refuse(400, 'malformed');
    if (fault === 'locked' && isPost) return collector.refuse(chance.pick([401, 403]), 'forbidden');
    if (fault === 'portal') return { status: 200, body: '<html>Welcome to our hotel</html>' };
    return undefined;
  }

  /** A demand for quiet, in the header, in the body or in both. */
  function busy(status: number, code: string): Reply {
    const retryAfterMs = chance.integer(1, 8_000);
    const retryAfter = String(Math.ceil(retryAfterMs / 1_000));
    const how = chance.integer(0, 2);
    return collector.refuse(status, code, how === 0 ? {} : { retryAfterMs }, how === 1 ? {} : { retryAfter });
  }
}
