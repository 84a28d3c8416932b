// A collector on a Postgres that can be replaced behind its back, as failovers and restores do.

import type { Page, Problem, StoredEvent } from '@tidemark/core/wire';
import { migrate } from '../../collector/src/store/migrate.ts';
import { onTestFinished } from 'vitest';
import { eventually } from './eventually.ts';
import {
  type PrivatePostgres,
  type PrivatePostgresOptions,
  startPrivatePostgres,
} from './private-postgres.ts';
import { startProxy } from './proxy.ts';
import { type ServedCollector, serveCollector, testKeys } from './served-collector.ts';

/** What replication needs, and small enough for a machine that runs several. */
const serverSettings = {
  wal_level: 'replica',
  max_wal_senders: '4',
  hot_standby: 'on',
  shared_buffers: '32MB',
};

export function startServer(
  options: Omit<PrivatePostgresOptions, 'settings'> = {},
): Promise<PrivatePostgres> {
  return ended(startPrivatePostgres({ server: 'system', ...options, settings: serverSettings }));
}

async function ended(starting: Promise<PrivatePostgres>): Promise<PrivatePostgres> {
  const server = await starting;
  onTestFinished(() => server.stop());
  return server;
}

/** An address for a server that another one may get. */
export async function startAddress(server: PrivatePostgres) {
  const proxy = await startProxy(() => ({ kind: 'fine' }));
  onTestFinished(() => proxy.close());
  proxy.aim(server.port);
  return {
    url: at(server.url, proxy.port),
    /** Connections end; new ones go there. Undefined: nowhere. */
    moveTo(port: number | undefined) {
      proxy.aim(port);
      proxy.cut();
    },
  };
}

export function at(url: string, port: number): string {
  const moved = new URL(url);
  moved.port = String(port);
  return moved.href;
}

export interface FailoverCase {
  readonly collector: ServedCollector;
  /** At the end of a test, while there is a database yet: without one it takes longer. */
  stop(): Promise<void>;
  ask(path: string, options?: { method?: string; key?: string; body?: object }): Promise<Response>;
  /** Posts an event for each id, again and again until the collector takes them. */
  post(ids: readonly string[], occurredAt?: string): Promise<void>;
  /** A page, whatever comes. */
  page(query: string): Promise<{ status: number; body: Page & Problem }>;
  /** Follows from a cursor, or from the earliest event, until these events are the last that were read. */
  follow(cursor: string | undefined, last: string): Promise<Followed>;
}

export interface Followed {
  readonly events: readonly StoredEvent[];
  readonly ids: readonly string[];
  readonly cursor: string;
}

export const stream = 's';

export async function startFailoverCase(
  url: string,
  environment: Record<string, string> = {},
): Promise<FailoverCase> {
  await migrate(url);
  const collector = await serveCollector(url, { environment });
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= collector.stop());
  onTestFinished(stop);
  const ask: FailoverCase['ask'] = async (path, { method = 'GET', key = testKeys.admin, body } = {}) =>
    collector.app.request(path, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const made = await ask(`/v1/streams/${stream}`, { method: 'PUT', body: { watermarkDelayMs: 0 } });
  if (made.status !== 200) throw new Error(await made.text());

  async function page(query: string) {
    const response = await ask(`/v1/streams/${stream}/events?${query}`);
    return { status: response.status, body: (await response.json()) as Page & Problem };
  }

  return {
    collector,
    stop,
    ask,
    page,
    async post(ids, occurredAt) {
      const events = ids.map((id) => ({ id, stream, name: 'n', ...(occurredAt && { occurredAt }) }));
      await eventually(
        `${ids.join()} are taken`,
        async () => (await ask('/v1/events', { method: 'POST', body: { events } })).status === 200,
        30_000,
      );
    },
    async follow(start, last) {
      const events: StoredEvent[] = [];
      let cursor = start;
      await eventually(
        `${last} can be read`,
        async () => {
          const { status, body } = await page(cursor === undefined ? 'limit=3' : `cursor=${cursor}&limit=3`);
          if (status !== 200 && status !== 503) throw new Error(`${status} ${body.code}: ${body.detail}`);
          if (status === 503) return false;
          events.push(...body.events);
          cursor = body.nextCursor;
          return events.at(-1)?.id === last;
        },
        30_000,
      );
      return { events, ids: events.map(({ id }) => id), cursor: cursor ?? '' };
    },
  };
}
