import { type DeliveryOptions, deliveryDefaults } from '@tidemark/core';

export interface ClientOptions extends Partial<Omit<DeliveryOptions, 'whenFull' | 'clock' | 'saveAfterMs'>> {
  /** Where the collector is: `https://events.example.com`, with a path where a proxy has it under one. */
  readonly url: string | URL;
  /** A write key to send, a read key to read. */
  readonly key: string;
  /**
   * When the queue is full. `block` (default): from seven eighths on `track()` returns a promise for those who can wait, and what comes
   * when it is full is dropped. `dropNewest`, `dropOldest`: without promises.
   */
  readonly whenFull?: 'block' | 'dropNewest' | 'dropOldest' | undefined;
  /** Milliseconds such a promise takes at most. Default 30,000. */
  readonly blockMsMax?: number | undefined;
  /** Sockets to the collector at most, for sending. Default 2, at most 4. */
  readonly connections?: number | undefined;
  /** Compress bodies from 1 KiB on. Default: true, unless the collector is on this machine. */
  readonly gzip?: boolean | undefined;
  /** false: times are right as they are, in an import say, and the collector does not correct them by this machine's clock. Default true. */
  readonly correctClock?: boolean | undefined;
  /** A folder in which events survive the process. Several clients and processes may share it. Default: none. */
  readonly spoolDir?: string | undefined;
  /** Bytes this client may have in the spool. Default 256 MiB. */
  readonly spoolBytesMax?: number | undefined;
  /** Milliseconds that sending what is queued may hold up the end of the process. Default 5,000; 0: the process is not looked after. */
  readonly exitMs?: number | undefined;
}

/** Everything decided. */
export interface Settings extends DeliveryOptions {
  readonly url: URL;
  readonly key: string;
  /** `whenFull` is `block`. */
  readonly blocks: boolean;
  readonly blockMsMax: number;
  readonly connections: number;
  readonly gzip: boolean;
  readonly correctClock: boolean;
  readonly spoolDir: string | undefined;
  readonly spoolBytesMax: number;
  readonly exitMs: number;
}

const mebibyte = 1_048_576;

/** Where a server wants other numbers than the engine's own, or more of them. */
const serverDefaults = {
  batchEventsMax: 1_000,
  batchBytesMax: mebibyte / 2,
  queueEventsMax: 1_000_000,
  queueBytesMax: 96 * mebibyte,
  blockMsMax: 30_000,
  connections: 2,
  spoolBytesMax: 256 * mebibyte,
  exitMs: 5_000,
};

/** @throws TypeError for what cannot be right. */
export function readOptions(options: ClientOptions): Settings {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const { whenFull = 'block', correctClock = true, spoolDir } = options;
  const numbers = { ...deliveryDefaults, ...serverDefaults, ...given };
  for (const name of [...Object.keys(deliveryDefaults), ...Object.keys(serverDefaults)]) {
    if (name !== 'whenFull') checkNumber(name, Reflect.get(numbers, name));
  }
  if (typeof options.key !== 'string' || options.key === '')
    throw new TypeError('key must be a non-empty string');
  if (!['block', 'dropNewest', 'dropOldest'].includes(whenFull)) {
    throw new TypeError(`whenFull must be block, dropNewest or dropOldest, not ${whenFull}`);
  }
  const url = readUrl(options.url);
  return {
    ...numbers,
    url,
    key: options.key,
    connections: Math.min(4, numbers.connections),
    gzip: options.gzip ?? !isHere(url),
    correctClock,
    spoolDir,
    blocks: whenFull === 'block',
    whenFull: whenFull === 'dropOldest' ? 'dropOldest' : 'dropNewest',
  };
}

/** Some may be 0, and none may be less; a batch, a queue or a pool of less than one cannot be. */
const atLeastOne = new Set([
  'batchEventsMax',
  'queueEventsMax',
  'requestsInFlight',
  'requestTimeoutMs',
  'connections',
]);

function checkNumber(name: string, value: unknown): void {
  const least = atLeastOne.has(name) ? 1 : 0;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < least) {
    throw new TypeError(`${name} must be a number of at least ${least}, not ${String(value)}`);
  }
}

function readUrl(value: string | URL): URL {
  const url = URL.canParse(String(value)) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`url must be http(s), not ${String(value)}`);
  }
  return url;
}

function isHere({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
}
