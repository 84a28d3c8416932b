import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatTime } from '@tidemark/core/wire';
import type { Random } from '../harness/seed.ts';
import type { Chance } from './chance.ts';
import type { Clockwork } from './clockwork.ts';
import type { Collector } from './collectors.ts';
import { type Http, UnavailableError } from './http.ts';
import type { Sending, StreamRecord } from './record.ts';

/** Several clients that send, send again and break off, as chance has it. */
export interface Writers {
  readonly counts: WriteCounts;
  /** Ends the writing and waits for replies that are under way. */
  stop(): Promise<void>;
  /** Sends what has no known outcome until it has one, or the signal ends it. */
  settle(signal: AbortSignal): Promise<void>;
}

export interface WriteCounts {
  requests: number;
  duplicates: number;
  rejected: number;
  /** Events that were answered from a spool. */
  spooled: number;
  /** Requests without a known outcome: refused, cut, timed out. */
  unknown: number;
  /** From request to reply, milliseconds. */
  readonly latenciesMs: number[];
}

export interface WriterOptions {
  readonly name: string;
  readonly writers: number;
  /** Each writer has chance of its own. */
  readonly chance: Chance;
  readonly http: Http;
  readonly collectors: readonly Collector[];
  readonly streams: readonly StreamRecord[];
  readonly clockwork: Clockwork;
  readonly batchEventsMax: number;
  /** Longest pause of a writer between two requests, milliseconds. */
  readonly pauseMsMax: number;
  /** How often of 100 requests a batch is sent to two collectors at once. */
  readonly twinPercent: number;
  readonly onSurprise: (error: unknown) => void;
}

/** A batch's events as they are sent each time, byte for byte. */
interface Batch {
  readonly events: readonly Sending[];
  readonly json: string;
}

const rememberedMax = 100;

export function startWriters(options: WriterOptions): Writers {
  const { http, collectors, clockwork } = options;
  const counts: WriteCounts = {
    requests: 0,
    duplicates: 0,
    rejected: 0,
    spooled: 0,
    unknown: 0,
    latenciesMs: [],
  };
  const stopped = new AbortController();
  setMaxListeners(0, stopped.signal);
  const unsettled = new Set<Batch>();
  let made = 0;

  async function run(name: string): Promise<void> {
    const random = options.chance(name);
    const settled: Batch[] = [];
    while (!stopped.signal.aborted) {
      const dice = random.number();
      const again = dice < 0.08 ? chooseAgain(settled, random) : undefined;
      const batch = again ?? makeBatch(name, random);
      if (again === undefined && dice > 0.97) await breakOff(batch, random);
      else await sendOnce(batch, random);
      if (settled.length < rememberedMax) settled.push(batch);
      else settled[random.below(rememberedMax)] = batch;
      await pause(random.below(options.pauseMsMax + 1));
    }
  }

  /** One without a known outcome, if there is any, or one that was answered before. */
  function chooseAgain(settled: readonly Batch[], random: Random): Batch | undefined {
    const [waiting] = unsettled;
    return waiting ?? settled[random.below(settled.length)];
  }

  async function sendOnce(batch: Batch, random: Random): Promise<void> {
    const first = random.oneOf(asTuple(collectors));
    const twins = random.below(100) < options.twinPercent;
    const others = twins ? collectors.filter((other) => other !== first).slice(0, 1) : [];
    const timeoutMs = 1_500 + random.below(4_000);
    await Promise.all([first, ...others].map((collector) => send(batch, collector, timeoutMs)));
  }

  async function send(batch: Batch, collector: Collector, timeoutMs: number): Promise<void> {
    for (const event of batch.events) event.sent();
    unsettled.add(batch);
    counts.requests += 1;
    const sinceMs = performance.now();
    try {
      const reply = await http.post(collector.url, bodyOf(batch), AbortSignal.timeout(timeoutMs));
      counts.latenciesMs.push(performance.now() - sinceMs);
      const rejected = new Set<number>();
      for (const result of reply.results) if (result.status === 'rejected') rejected.add(result.index);
      batch.events.forEach((event, index) => {
        if (!rejected.has(index)) event.acknowledged(reply.durability);
      });
      counts.duplicates += reply.duplicates;
      if (reply.durability === 'spooled') counts.spooled += reply.accepted;
      counts.rejected += reply.rejected;
      unsettled.delete(batch);
    } catch (error) {
      counts.unknown += 1;
      if (!(error instanceof UnavailableError)) options.onSurprise(error);
    }
  }

  /** The first part of a request: nothing of it may be stored. Half of these batches are sent again as a whole. */
  async function breakOff(batch: Batch, random: Random): Promise<void> {
    const body = bodyOf(batch);
    counts.requests += 1;
    counts.unknown += 1;
    await http.postPart(random.oneOf(asTuple(collectors)).url, body, random.below(body.length));
    if (random.number() < 0.5) await sendOnce(batch, random);
  }

  function makeBatch(name: string, random: Random): Batch {
    const events: Sending[] = [];
    const texts: string[] = [];
    const single = random.number() < 0.5 ? random.oneOf(asTuple(options.streams)) : undefined;
    const size =
      1 + random.below(random.number() < 0.1 ? options.batchEventsMax * 5 : options.batchEventsMax);
    for (let index = 0; index < size; index++) {
      const stream = single ?? random.oneOf(asTuple(options.streams));
      const number = (made += 1);
      const id = random.number() < 0.5 ? `${options.name}/${name}/${number}` : uuid(random);
      const occurredAt = chooseTime(random, clockwork.read().micros);
      events.push(stream.make(id, number, occurredAt));
      texts.push(
        JSON.stringify({
          id,
          stream: stream.name,
          name: 'torture',
          ...(occurredAt === undefined ? {} : { occurredAt: formatTime(occurredAt) }),
          props: { number, text: 'x'.repeat(random.below(100)) },
        }),
      );
    }
    return { events, json: `[${texts.join(',')}]` };
  }

  function bodyOf({ json }: Batch): string {
    const sentAt = formatTime(clockwork.read().micros);
    return `{"sentAt":"${sentAt}","clock":{"offsetMs":0,"rttMs":0},"events":${json}}`;
  }

  async function pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: stopped.signal }).catch(() => undefined);
  }

  const running = Array.from({ length: options.writers }, (_, at) => run(`writer${at}`));
  return {
    counts,
    async stop() {
      stopped.abort();
      await Promise.all(running);
    },
    async settle(signal) {
      const random = options.chance('settle');
      while (unsettled.size > 0 && !signal.aborted) {
        const batches = [...unsettled].slice(0, 8);
        await Promise.all(batches.map((batch) => sendOnce(batch, random)));
        if (unsettled.size > 0) await sleep(20);
      }
    },
  };
}

/** Now, a little ago, long ago, ahead, or none. */
function chooseTime(random: Random, now: bigint): bigint | undefined {
  const micros = (seconds: number) => BigInt(Math.floor(random.number() * seconds * 1_000_000));
  const dice = random.number();
  if (dice < 0.35) return now;
  if (dice < 0.6) return now - micros(0.3);
  if (dice < 0.75) return now - micros(4);
  if (dice < 0.85) return now - 5_000_000n - micros(60);
  if (dice < 0.88) return now - micros(86_400 * 40);
  if (dice < 0.95) return now + micros(2);
  if (dice < 0.97) return now + micros(86_400);
  return undefined;
}

function uuid(random: Random): string {
  const hex = (digits: number) =>
    Array.from({ length: digits }, () => random.below(16).toString(16)).join('');
  return `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`;
}

function asTuple<T>(values: readonly T[]): readonly [T, ...T[]] {
  const [first, ...rest] = values;
  if (first === undefined) throw new Error('there is nothing to choose from');
  return [first, ...rest];
}
