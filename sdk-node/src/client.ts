import {
  type AnyEvents,
  type Counters,
  createDelivery,
  createRoom,
  type Delivery,
  type EventShapes,
  type FlushResult,
  type TrackArguments,
} from '@tidemark/core';
import type { Window, WindowsPage } from '@tidemark/core/wire';
import { Pool } from 'undici';
import { awake } from './awake.ts';
import { consumeStream } from './consume.ts';
import type { ConsumeOptions, Handler } from './consume-options.ts';
import type { EventOf, EventPage } from './events.ts';
import { leaveInOrder } from './exit.ts';
import {
  createMiddleware,
  type Middleware,
  type MiddlewareOptions,
  type RequestContext,
} from './middleware.ts';
import { type ClientOptions, readOptions } from './options.ts';
import { createPlatform } from './platform.ts';
import { type ReadOptions, type ReadParts, readPages, readStream } from './read.ts';
import { createSpooling } from './spooling.ts';
import { createTransport } from './transport.ts';
import { createWarner } from './warn.ts';
import { readWindowPages, readWindows, type WindowsOptions } from './windows.ts';

export interface Client<Events extends EventShapes<Events> = AnyEvents> {
  /**
   * Queues an event; returns at once and never throws. What it returns is undefined, or under `block` and close to the limit a promise: a
   * caller that can wait should, the others go on.
   */
  track<Name extends keyof Events & string>(
    name: Name,
    ...rest: TrackArguments<Events[Name]>
  ): PromiseLike<void> | undefined;
  /**
   * Sends what is queued, and waits until all of it has arrived or was refused, but not longer than `timeoutMs` (default 10,000). Keeps the
   * process alive meanwhile. Never rejects.
   */
  flush(options?: { readonly timeoutMs?: number }): Promise<FlushResult>;
  /**
   * Flushes (`timeoutMs`, default 5,000), ends all reads and closes the sockets. What could not be sent stays in the spool, or is reported
   * lost as `closed`. Never rejects.
   */
  close(options?: { readonly timeoutMs?: number }): Promise<void>;
  /** The events of a stream, in its order, each exactly once. See ReadOptions. */
  read(stream: string, options?: ReadOptions): AsyncGenerator<EventOf<Events>, void, undefined>;
  /** The same page by page, each with its cursor. */
  pages(stream: string, options?: ReadOptions): AsyncGenerator<EventPage<Events>, void, undefined>;
  /** Counts and sums of a stream by minute, hour or day, each window when it is complete. See WindowsOptions. */
  windows(stream: string, options: WindowsOptions): AsyncGenerator<Window, void, undefined>;
  /** The same page by page, each with its cursor. */
  windowPages(stream: string, options: WindowsOptions): AsyncGenerator<WindowsPage, void, undefined>;
  /**
   * Works on a stream together with all who name the same consumer: `handler` gets page after page, and what it has resolved for is
   * committed. Goes on until `signal`, `close()`, SIGTERM or SIGINT end it; then the page at hand is finished first. See ConsumeOptions.
   */
  consume(stream: string, options: ConsumeOptions, handler: Handler<Events>): Promise<void>;
  /** Middleware for Hono that tracks an event for each request. See MiddlewareOptions. */
  middleware<Context extends RequestContext>(options?: MiddlewareOptions<Context>): Middleware<Context>;
  /** What became of the events so far: `queued` is the sum of all the others. */
  counters(): ClientCounters;
}

export interface ClientCounters extends Counters {
  /** Without an end yet. */
  readonly pending: number;
  /** Left in the spool for a next run when this client ended. */
  readonly spooled: number;
}

/**
 * A client of a collector. Makes no connection until it has something to send or to read.
 *
 * @throws TypeError when an option cannot be right, and what `mkdir` throws when `spoolDir` cannot be made.
 */
export function createClient<Events extends EventShapes<Events> = AnyEvents>(
  options: ClientOptions,
): Client<Events> {
  const settings = readOptions(options);
  const { url, key, spoolDir } = settings;
  const transport = createTransport(settings);
  const platform = createPlatform(transport);
  const warn = createWarner(platform.monotonic, (text) => process.emitWarning(text, 'TidemarkWarning'));
  const spooling =
    spoolDir === undefined ? undefined : createSpooling({ ...settings, spoolDir }, platform, () => delivery);
  const delivery: Delivery = createDelivery(
    { ...platform, store: spooling?.store, ended: () => room.look() },
    { ...settings, onReport: settings.onReport ?? warn },
  );
  // Times that are right need no sample of the clock.
  if (!settings.correctClock) delivery.learn({ offsetMs: 0, rttMs: 0 });
  const room = createRoom(delivery.held, settings, settings.blockMsMax, platform.after);
  const reads = new AbortController();
  const consumes = new AbortController();
  const consuming = new Set<Promise<void>>();
  let readPool: Pool | undefined;
  let spooled = 0;
  let ending: Promise<void> | undefined;

  const { exitMs } = settings;
  const stay =
    exitMs > 0
      ? leaveInOrder({
          exitMs,
          flush: settle,
          leave,
          pending: () => delivery.held.events,
        })
      : undefined;
  spooling?.adopt();

  return {
    track(name, ...[props, trackOptions]) {
      delivery.track(name, props, trackOptions);
      const wait = settings.blocks ? room.wait() : undefined;
      return wait && awake(wait, settings.blockMsMax);
    },
    flush: ({ timeoutMs = 10_000 } = {}) => awake(delivery.flush(timeoutMs), timeoutMs),
    close: ({ timeoutMs = 5_000 } = {}) => (ending ??= end(timeoutMs)),
    read: (stream, readOptions = {}) => readStream<Events>(readParts(reads.signal), stream, readOptions),
    pages: (stream, readOptions = {}) => readPages<Events>(readParts(reads.signal), stream, readOptions),
    windows: (stream, windowsOptions) => readWindows(readParts(reads.signal), stream, windowsOptions),
    windowPages: (stream, windowsOptions) => readWindowPages(readParts(reads.signal), stream, windowsOptions),
    consume(stream, consumeOptions, handler) {
      const done = consumeStream<Events>(readParts(consumes.signal), stream, consumeOptions, handler);
      consuming.add(done);
      return done.finally(() => consuming.delete(done));
    },
    middleware: (middlewareOptions = {}) =>
      createMiddleware((...event) => delivery.track(...event), middlewareOptions, platform.monotonic),
    counters: () => ({ ...structuredClone(delivery.counters), pending: delivery.held.events, spooled }),
  };

  function readParts(closed: AbortSignal): ReadParts {
    readPool ??= new Pool(url.origin, { maxResponseSize: 64 * 1_048_576 });
    return {
      pool: readPool,
      prefix: url.pathname.replace(/\/+$/, ''),
      authorization: `Bearer ${key}`,
      platform,
      requestTimeoutMs: settings.requestTimeoutMs,
      closed,
    };
  }

  /** Handlers first: what they track is sent as well. */
  async function settle(timeoutMs: number): Promise<void> {
    const untilMs = platform.monotonic() + timeoutMs;
    consumes.abort();
    const handled = Promise.allSettled(consuming);
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = platform.after(timeoutMs, resolve);
    });
    await Promise.race([handled, late]);
    cancel();
    await delivery.flush(Math.max(0, untilMs - platform.monotonic()));
    // Else events that have arrived would be found by the next run, and sent once more.
    await spooling?.settled();
  }

  async function end(timeoutMs: number): Promise<void> {
    reads.abort();
    if (consuming.size === 0) delivery.close();
    await awake(settle(timeoutMs), timeoutMs);
    delivery.close();
    leave();
    stay?.();
    room.open();
    await Promise.all([spooling?.close(), transport.close(), readPool?.destroy()]);
  }

  /** Where what is left goes. Twice does no harm. */
  function leave(): void {
    const unsaved = spooling ? spooling.leave() : delivery.pending();
    const left = delivery.stop();
    delivery.close();
    spooled += left.length - unsaved.length;
    delivery.lose('closed', unsaved);
  }
}
