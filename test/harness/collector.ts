import type { Page, StoredEvent } from '@tidemark/core/wire';
import { pino } from 'pino';
import { type Collector, createCollector } from '../../collector/src/app.ts';
import { createClock } from '../../collector/src/clock.ts';
import { type Config, readConfig } from '../../collector/src/config.ts';
import { createMetrics } from '../../collector/src/metrics.ts';
import { createDatabase } from '../../collector/src/store/database.ts';
import { createTestDatabase } from './postgres.ts';

export const writeKey = 'write-key-of-the-tests';
export const readKey = 'read-key-of-the-tests';
export const adminKey = 'admin-key-of-the-tests';

/** A collector in this process, without a socket, on a database of its own unless one is named. */
export interface TestCollector extends Collector {
  readonly databaseUrl: string;
  /** Asks the app: `path` begins with `/v1`. */
  request(path: string, options?: RequestOptions): Promise<Response>;
  /** Posts events as one batch and gives the answer's body; anything but 200 is an error. */
  post(events: readonly unknown[], envelope?: object): Promise<BatchAnswer>;
  /** Reads a page; anything but 200 is an error. */
  read(stream: string, query?: string): Promise<Page>;
  /** Follows `nextCursor` from the earliest event to the watermark. */
  readAll(stream: string, query?: string): Promise<readonly StoredEvent[]>;
  stop(): Promise<void>;
}

export interface RequestOptions {
  readonly method?: string;
  /** A key, or null for none. Default: the admin's. */
  readonly key?: string | null;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer> | object;
}

export interface BatchAnswer {
  readonly receivedAt: string;
  readonly respondedAt: string;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly results: readonly {
    readonly index: number;
    readonly id: string | null;
    readonly status: string;
    readonly code?: string;
  }[];
}

export async function startTestCollector(
  change: Partial<Config> = {},
  databaseUrl?: string,
): Promise<TestCollector> {
  const own = databaseUrl === undefined ? await createTestDatabase() : undefined;
  const url = databaseUrl ?? own?.url ?? '';
  const read = readConfig({
    TIDEMARK_WRITE_KEY: writeKey,
    TIDEMARK_READ_KEY: readKey,
    TIDEMARK_ADMIN_KEY: adminKey,
  });
  if (!read.ok) throw new Error(read.mistakes.join('\n'));
  const config = { ...read.config, ...change };
  const database = createDatabase({ url, writeConnections: 2, readConnections: 2 });
  const collector = await createCollector({
    config,
    clock: createClock(),
    log: pino({ level: 'silent' }),
    metrics: createMetrics(),
    database,
  });

  async function request(path: string, options: RequestOptions = {}): Promise<Response> {
    const { key = adminKey, body } = options;
    const plain = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
    return await collector.app.request(path, {
      method: options.method ?? (body === undefined ? 'GET' : 'POST'),
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: plain ? body : JSON.stringify(body) }),
    });
  }

  async function ok<T>(response: Promise<Response>): Promise<T> {
    const answer = await response;
    if (answer.status !== 200) throw new Error(`Status ${answer.status}: ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  const readPage = (stream: string, query = ''): Promise<Page> =>
    ok<Page>(request(`/v1/streams/${stream}/events?${query}`, { key: readKey }));

  return {
    ...collector,
    databaseUrl: url,
    request,
    post: (events, envelope = {}) =>
      ok(request('/v1/events', { key: writeKey, body: { ...envelope, events } })),
    read: readPage,
    async readAll(stream, query = '') {
      const events: StoredEvent[] = [];
      let page = await readPage(stream, query);
      events.push(...page.events);
      while (page.hasMore) {
        const rest = query.replace(/(^|&)(from|cursor)=[^&]*/g, '');
        page = await readPage(stream, `${rest}&cursor=${page.nextCursor}`);
        events.push(...page.events);
      }
      return events;
    },
    async stop() {
      await collector.close();
      await database.close(1_000);
      await own?.drop();
    },
  };
}
