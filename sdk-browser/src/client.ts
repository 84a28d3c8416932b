import {
  type AnyEvents,
  type ClientClock,
  type Counters,
  createDelivery,
  createKeeper,
  type Delivery,
  type EventShapes,
  type FlushResult,
  type Keeper,
  type KeptEvent,
  parseObject,
  type Platform,
  type QueuedEvent,
  type Report,
  type TrackArguments,
  utf8Bytes,
} from '@tidemark/core';
import { type ClientOptions, pageDefaults, type Settings } from './options.ts';
import type { DeviceStore } from './store.ts';
import { clocks } from './platform.ts';
import { type Body, createTransport } from './transport.ts';

export interface Client<Events extends EventShapes<Events> = AnyEvents> {
  /** Queues an event; returns at once and never throws. Does nothing without consent. */
  track<Name extends keyof Events & string>(name: Name, ...rest: TrackArguments<Events[Name]>): void;
  /**
   * Sends what is queued, and resolves when all of it has arrived or was refused, but not later than after `timeoutMs` (default 10,000). In
   * a service worker give it to `waitUntil`. Never rejects.
   */
  flush(options?: { readonly timeoutMs?: number }): Promise<FlushResult>;
  /**
   * Flushes (`timeoutMs`, default 5,000) and ends. What has not arrived is stored for the next page, or is reported lost as `closed`. Never
   * rejects.
   */
  close(options?: { readonly timeoutMs?: number }): Promise<void>;
  /** Consent is withdrawn: forgets everything that is queued or stored, and takes nothing more. */
  optOut(): void;
  /** Consent is given. */
  optIn(): void;
  /** What became of the events since consent was given: `queued` is the sum of all the others. */
  counters(): ClientCounters;
}

export interface ClientCounters extends Counters {
  /** Without an end yet. */
  readonly pending: number;
}

/** What differs between a page, a worker and an app. */
export interface Environment extends Pick<Platform, 'random'> {
  /** Not on a server that renders pages, say: there a client does nothing. */
  readonly exists: () => boolean;
  readonly openStore: (name: string) => DeviceStore;
  /** Calls `leave` when this may be the last moment there is (`forGood`: it is), and `resume` when sending is worth a try. */
  readonly listen: (leave: (forGood: boolean) => void, resume: () => void) => () => void;
}

/** A sample of the clock is good for an hour. */
const clockLifeMs = 3_600_000;

export function createClientIn<Events extends EventShapes<Events>>(
  environment: Environment,
  options: ClientOptions,
): Client<Events> {
  const settings: Settings = { onReport: warn, ...pageDefaults, ...options };
  const { url, key, persist, saveAfterMs } = settings;
  if (!url || !key) throw new TypeError('url and key must be given');
  let leaving = false;
  const platform: Platform<Body> = {
    ...clocks,
    random: environment.random,
    byteLength: utf8Bytes,
    ...createTransport(settings, () => leaving),
  };
  const store = persist ? environment.openStore(`tidemark ${key} ${url}`) : undefined;
  let run: Run | undefined;
  let started = false;
  let counters: Counters = { queued: 0, sent: 0, duplicates: 0, rejected: 0, dropped: {} };
  let stopListening = (): void => {};
  if (!settings.optedOut) start();

  return {
    track(name, ...[props, trackOptions]) {
      run?.delivery.track(name, props, trackOptions);
    },
    flush: async ({ timeoutMs = 10_000 } = {}) => run?.delivery.flush(timeoutMs) ?? { pending: 0 },
    async close({ timeoutMs = 5_000 } = {}) {
      run?.delivery.close();
      await run?.delivery.flush(timeoutMs);
      await run?.keeper?.saveAll();
      end('closed', run?.keeper?.saveNow() ?? run?.delivery.pending());
      store?.release();
    },
    optOut() {
      end('opted_out', run?.delivery.pending());
      store?.clear();
    },
    optIn: () => run || start(),
    counters: () => ({ ...counters, pending: run?.delivery.held.events ?? 0 }),
  };

  function start(): void {
    if (!environment.exists()) return;
    const keeper = store && createKeeper(store, platform, () => delivery, saveAfterMs);
    const delivery: Delivery = createDelivery(
      platform,
      { ...settings, clock: readClock() },
      {
        ...keeper,
        queued() {
          keeper?.queued();
          // Tracked by another listener to the page's end.
          if (leaving) queueMicrotask(() => leave(false));
        },
      },
    );
    ({ counters } = delivery);
    run = { delivery, keeper };
    stopListening = environment.listen(leave, resume);
    if (!started) store?.start(adopt);
    started = true;
  }

  function end(reason: 'closed' | 'opted_out', lost: readonly QueuedEvent[] = []): void {
    run?.delivery.stop();
    run?.delivery.lose(reason, lost);
    run = undefined;
    stopListening();
  }

  function adopt(events: readonly KeptEvent[]): KeptEvent[] {
    if (!run) return [];
    const adopted = run.delivery.adopt(events);
    run.keeper?.adopted(adopted);
    return adopted;
  }

  /** First what can be sent is sent, then all is stored: with it what was sent and when. */
  function leave(forGood: boolean): void {
    leaving = true;
    platform.after(0, () => {
      leaving = false;
    });
    void run?.delivery.flush(0);
    run?.keeper?.saveNow();
    void run?.keeper?.saveAll();
    const sample = run?.delivery.clock.best();
    if (sample) store?.note.write(JSON.stringify({ ...sample, atMs: platform.now() }));
    if (forGood) store?.release();
  }

  function resume(): void {
    store?.resume();
    void run?.delivery.flush(0);
  }

  function readClock(): ClientClock | undefined {
    const { atMs, ...sample } = parseObject(store?.note.read() ?? '');
    const ageMs = platform.now() - Number(atMs);
    return ageMs >= 0 && ageMs < clockLifeMs ? (sample as unknown as ClientClock) : undefined;
  }
}

interface Run {
  readonly delivery: Delivery;
  readonly keeper: Keeper | undefined;
}

function warn(report: Report): void {
  if (report.kind !== 'lost' || report.reason === 'opted_out') return;
  // Where nobody listens to losses they are at least to be seen.
  // oxlint-disable-next-line no-console
  console.warn('Tidemark lost events', report);
}
