import { type CollectorProcess } from '../harness/collector-process.ts';
import { type Random, randomFrom } from '../harness/seed.ts';
import { faultOf } from './judge.ts';
import { failuresOf, memoryOf, type MemorySample } from './memory.ts';
import { mutate } from './mutate.ts';
import { type Operation, operationsOf, type Places, requestTo } from './operations.ts';
import { realRequests } from './real.ts';
import { createConnection } from './replies.ts';
import { brokenBytes, type FuzzRequest, soundBytes, type WireRequest } from './request.ts';

export interface FuzzOptions {
  readonly collector: CollectorProcess;
  readonly seed: number;
  readonly count: number;
  readonly connections: number;
  readonly signal?: AbortSignal;
  readonly onFinding?: (finding: Finding) => void;
  readonly onProgress?: (sent: number, findings: number, memory: readonly MemorySample[]) => void;
}

export interface FuzzReport {
  readonly sent: number;
  /** Replies by status; `none` where the connection was closed without one, as broken requests may be. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly findings: readonly Finding[];
  readonly memory: readonly MemorySample[];
  /** Failures that the collector itself counted, whoever still listened to the answer. */
  readonly failures: number;
}

export interface Finding {
  /** Together with the seed: which request it was. */
  readonly number: number;
  readonly fault: string;
  /** The request, as latin1. */
  readonly request: string;
}

const findingsMax = 50;
const samples = 50;

/** Sends requests that no client should send, and looks at what comes back and at the memory of the collector. */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { collector, seed, count, signal } = options;
  const { hostname, port } = new URL(collector.url);
  const { operations, places } = await explore(collector);
  const statuses: Record<string, number> = {};
  const findings: Finding[] = [];
  const memory: MemorySample[] = [];
  let next = 0;
  let sent = 0;

  const note = (status: string): void => {
    statuses[status] = (statuses[status] ?? 0) + 1;
  };
  async function one(connection: ReturnType<typeof createConnection>): Promise<void> {
    const number = next++;
    const request = requestOf(randomFrom(mix(seed, number)), operations, places);
    const replies = await connection.send(request);
    sent += 1;
    if (replies.length === 0) note('none');
    for (const { status } of replies) note(String(status));
    const fault = faultOf(request, replies);
    if (fault !== undefined) {
      const finding = { number, fault, request: request.bytes.toString('latin1', 0, 4_000) };
      findings.push(finding);
      options.onFinding?.(finding);
    }
    if (sent % Math.ceil(count / samples) === 0) {
      memory.push(await memoryOf(collector.url));
      options.onProgress?.(sent, findings.length, memory);
    }
  }
  async function worker(): Promise<void> {
    const connection = createConnection(hostname, Number(port));
    try {
      while (next < count && findings.length < findingsMax && signal?.aborted !== true) await one(connection);
    } finally {
      connection.close();
    }
  }

  await Promise.all(Array.from({ length: options.connections }, worker));
  return { sent, statuses, findings, memory, failures: await failuresOf(collector.url) };
}

/** The share of requests that were told that the database is away, though it was not: there may be very few, where the machine is busy. */
export function unavailableOf({ sent, statuses }: FuzzReport): number {
  return (statuses['503'] ?? 0) / sent;
}

/** The routes the collector says it has, and things that are there to be named. */
async function explore({
  url,
  keys,
}: CollectorProcess): Promise<{ operations: readonly Operation[]; places: Places }> {
  const admin = { authorization: `Bearer ${keys.admin}`, 'content-type': 'application/json' };
  const ask = async (path: string, init: RequestInit = {}): Promise<unknown> =>
    (await fetch(url + path, { headers: admin, ...init })).json();
  await ask('/v1/streams/orders', { method: 'PUT', body: '{"watermarkDelayMs":0}' });
  await ask('/v1/streams/web.clicks', { method: 'PUT', body: '{"watermarkDelayMs":100}' });
  await ask('/v1/streams/orders/consumers/reports', { method: 'PUT', body: '{"shards":2}' });
  const made = (await ask('/v1/keys', { method: 'POST', body: '{"role":"read"}' })) as { id: string };
  const { latestCursor, earliestCursor } = (await ask('/v1/streams/orders')) as Record<string, string>;
  const openapi = (await ask('/openapi.json')) as Parameters<typeof operationsOf>[0];
  const names = {
    stream: ['orders', 'web.clicks', 'new-one'],
    consumer: ['reports'],
    cursor: [latestCursor ?? '', earliestCursor ?? ''],
    shard: ['0', '1', '0/2', '1/2'],
    id: [made.id, '0190c1d2-7a1b-7c3d-8e4f-000000000001'],
    from: ['earliest', 'latest', '2026-01-01T00:00:00Z'],
  };
  return { operations: operationsOf(openapi), places: { keys, names } };
}

function requestOf(random: Random, operations: readonly Operation[], places: Places): WireRequest {
  const kind = random.below(20);
  const [first, ...others] = operations;
  if (first === undefined) throw new Error('The collector describes no route');
  const base: FuzzRequest =
    kind < 9
      ? random.oneOf(realRequests(places.keys.write))
      : requestTo(random.oneOf([first, ...others]), places, random);
  const request = random.below(4) > 0 ? mutate(base, random) : base;
  return random.below(10) === 0 ? brokenBytes(request, random) : soundBytes(request, random);
}

/** Neighbouring numbers must not give neighbouring chance. */
function mix(seed: number, number: number): number {
  return Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(number + 1, 0xc2b2ae35);
}
