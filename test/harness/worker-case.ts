import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, errors, Pool } from 'undici';
import type { BatchReply, Page } from '@tidemark/core/wire';
import { eventually } from './eventually.ts';
import type { CollectorProcess } from './collector-process.ts';
import { childrenOf, isRunning } from './processes.ts';

export interface NumberedEvent {
  readonly id: string;
  readonly stream: string;
  readonly name: string;
}

export const numbered = (stream: string, prefix: string, count: number): NumberedEvent[] =>
  Array.from({ length: count }, (_, at) => ({ id: `${prefix}${at}`, stream, name: 'worker' }));

/** Connections of a client of its own: workers get them in turn. */
export interface Sender {
  /** The answer, whatever its status; rejects when the connection ends without one. */
  post(events: readonly object[], key?: string): Promise<{ status: number; reply: BatchReply }>;
  readonly closed: boolean;
  close(): Promise<void>;
}

export function createSender({ url, keys }: CollectorProcess, connections: number): Sender {
  const pool = new Pool(url, { connections, pipelining: 1 });
  return {
    async post(events, key = keys.write) {
      const answer = await pool.request({
        method: 'POST',
        path: '/v1/events',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ events }),
        headersTimeout: answerMsMax,
      });
      return { status: answer.statusCode, reply: (await answer.body.json()) as BatchReply };
    },
    get closed() {
      return pool.destroyed;
    },
    close: () => pool.destroy(),
  };
}

/**
 * Sends events in small batches over all connections at once, each until it is acknowledged: after an error, or an answer that says so, the same
 * again. Comes back when all are, or with those that are when it is aborted or the sender closed.
 */
export async function sendAll(
  sender: Sender,
  events: readonly NumberedEvent[],
  connections: number,
  signal: AbortSignal = new AbortController().signal,
): Promise<readonly string[]> {
  const acknowledged: string[] = [];
  const batches = Array.from({ length: Math.ceil(events.length / 5) }, (_, at) =>
    events.slice(at * 5, at * 5 + 5),
  );

  async function work(): Promise<void> {
    for (
      let batch = batches.shift();
      batch !== undefined && !signal.aborted && !sender.closed;
      batch = batches.shift()
    ) {
      let done = false;
      while (!done && !signal.aborted && !sender.closed) {
        const answer = await sender.post(batch).catch(() => undefined);
        done = answer?.status === 200;
        if (!done) await sleep(10);
        if (done && answer?.reply.rejected !== 0) throw new Error(JSON.stringify(answer?.reply));
      }
      if (done) acknowledged.push(...batch.map(({ id }) => id));
    }
  }

  await Promise.all(Array.from({ length: connections }, work));
  return acknowledged;
}

/** Ids of a stream from the earliest event to the watermark, page by page. */
export async function readIds(
  { url, keys }: CollectorProcess,
  stream: string,
  limit = 1_000,
): Promise<readonly string[]> {
  const ids: string[] = [];
  let from = 'from=earliest';
  for (;;) {
    const text = await get(url, `/v1/streams/${stream}/events?${from}&limit=${limit}`, keys.read);
    const page = JSON.parse(text) as Page;
    ids.push(...page.events.map(({ id }) => id));
    if (!page.hasMore) return ids;
    from = `cursor=${page.nextCursor}`;
  }
}

export async function putStream({ url, keys }: CollectorProcess, stream: string): Promise<void> {
  const response = await fetch(`${url}/v1/streams/${stream}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${keys.admin}`, 'content-type': 'application/json' },
    body: '{"watermarkDelayMs":0}',
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
}

/** The sum over all workers. */
export async function metric({ url }: CollectorProcess, name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await get(url, '/metrics'))?.[1]);
}

/** So long a client waits for an answer, milliseconds: a connection that was on its way to a worker when that was killed is answered by nobody. */
const answerMsMax = 5_000;

/** Over a connection of its own: each is the next worker's. */
async function get(url: string, path: string, key?: string): Promise<string> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  for (;;) {
    const client = new Client(url, { headersTimeout: answerMsMax });
    try {
      const { statusCode, body } = await client.request({ method: 'GET', path, headers });
      const text = await body.text();
      if (statusCode !== 200) throw new Error(`${statusCode} ${text}`);
      return text;
    } catch (error) {
      if (!(error instanceof errors.HeadersTimeoutError)) throw error;
    } finally {
      await client.destroy();
    }
  }
}

/** Process ids of the workers: all that a primary starts that is no Postgres, and no shell that looks after one. */
export async function workersOf(pid: number): Promise<readonly number[]> {
  const found: number[] = [];
  for (const child of await childrenOf(pid)) {
    const command = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '');
    if (command.endsWith('\0worker\0')) found.push(child);
  }
  return found;
}

export async function allEnded(pids: readonly number[]): Promise<void> {
  for (const pid of pids) await eventually(`process ${pid} has ended`, async () => !(await isRunning(pid)));
}
