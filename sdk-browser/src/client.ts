import {
  type AnyEvents,
  type ClientClock,
  type Counters,
  createDelivery,
  type Delivery,
  deliveryDefaults,
  type EventShapes,
  type FlushResult,
  parseObject,
  type Platform,
  type QueuedEvent,
  type Report,
  type TrackArguments,
  type TrackOptions,
} from '@tidemark/core';
import { type ClientOptions, pageDefaults, type Settings } from './options.ts';
import type { Adopt, DeviceStore } from './store.ts';
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
  /** What became of the events so far: `queued` is the sum of all the others. */
  counters(): ClientCounters;
}

export interface ClientCounters extends Counters {
  /** Without an end yet. */
  readonly pending: number;
}

/** What differs between a page, a worker and an app. */
export interface Environment extends Pick<Platform, 'random' | 'bytesOf'> {
  /** Not on a server that renders pages, say: there a client does nothing. */
  readonly exists: () => boolean;
  readonly openStore: (name: string, adopt: Adopt) => DeviceStore;
  /** Calls `leave` when this may be the last moment there is (`forGood`: it is), and `resume` when sending is worth a try. */
  readonly listen: (leave: (forGood: boolean) => void, resume: () => void) => () => void;
}

/** A sample of the clock is good for an hour. */
const clockLifeMs = 3_600_000;

export function createClientIn<Events extends EventShapes<Events>>(
  environment: Environment,
  options: ClientOptions,
): Client<Events> {
  const settings: Settings = { onReport: warn, ...deliveryDefaults, ...pageDefaults, ...options };
  const { url, key } = settings;
  if (!url || !key) throw new TypeError('url and key must be given');
  const store = settings.persist
    ? environment.openStore(`tidemark ${key} ${url}`, (events) => delivery.adopt(events))
    : undefined;
  let leaving = false;
  const platform: Platform<Body> = {
    ...clocks,
    ...environment,
    store,
    ...createTransport(settings, environment.bytesOf, () => leaving),
  };
  // Until there is consent it is given nothing.
  const delivery: Delivery = createDelivery(platform, settings);
  /** Where there is consent. */
  let stopListening: (() => void) | undefined;
  if (!settings.optedOut) optIn();

  return {
    track(name: string, props?: object, trackOptions?: TrackOptions) {
      if (!stopListening) return;
      delivery.track(name, props, trackOptions);
      // By another listener to the page's end.
      if (leaving) queueMicrotask(() => leave(false));
    },
    flush: ({ timeoutMs = 10_000 } = {}) => delivery.flush(timeoutMs),
    async close({ timeoutMs = 5_000 } = {}) {
      delivery.close();
      await delivery.flush(timeoutMs);
      await delivery.saveAll();
      end('closed', delivery.saveNow());
      store?.release();
    },
    optOut() {
      end('opted_out', delivery.pending());
      store?.clear();
    },
    optIn,
    counters: () => ({ ...delivery.counters, pending: delivery.held.events }),
  };

  function optIn(): void {
    if (stopListening || !environment.exists()) return;
    const { atMs, ...sample } = parseObject(store?.readNote() ?? '');
    const ageMs = platform.now() - Number(atMs);
    if (ageMs >= 0 && ageMs < clockLifeMs) delivery.learn(sample as unknown as ClientClock);
    stopListening = environment.listen(leave, resume);
    store?.resume();
  }

  function end(reason: 'closed' | 'opted_out', lost: readonly QueuedEvent[]): void {
    delivery.stop();
    delivery.lose(reason, lost);
    stopListening?.();
    stopListening = undefined;
  }

  /** First what can be sent is sent, then all is stored: with it what was sent and when. */
  function leave(forGood: boolean): void {
    leaving = true;
    platform.after(0, () => {
      leaving = false;
    });
    void delivery.flush(0);
    delivery.saveNow();
    void delivery.saveAll();
    const sample = delivery.sample();
    if (sample) store?.writeNote(JSON.stringify({ ...sample, atMs: platform.now() }));
    if (forGood) store?.release();
  }

  function resume(): void {
    store?.resume();
    void delivery.flush(0);
  }
}

function warn(report: Report): void {
  if (report.kind !== 'lost' || report.reason === 'opted_out') return;
  // Where nobody listens to losses they are at least to be seen.
  // oxlint-disable-next-line no-console
  console.warn('Tidemark lost events', report);
}
