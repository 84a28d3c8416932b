import { hostname } from 'node:os';
import { randomBytes } from 'node:crypto';
import { type Consumer, consumerLimits, type Lease, memberPattern, paths } from '@tidemark/core/wire';
import { askPatiently, pause, wholeWhere } from './ask.ts';
import type { ConsumeOptions, Handler } from './consume-options.ts';
import { createShardWorker, type ShardWorker } from './consume-shard.ts';
import { TidemarkError } from './errors.ts';
import type { ReadParts } from './read.ts';

/** How long an end waits for handlers and their commits, at most; then others will get the page again. */
const endMsMax = 30_000;

/**
 * Works on a stream together with all who use the same consumer. Each shard is one member's at a time; a member takes its share of them,
 * gives some back when others come, and takes over those of members that die.
 *
 * Pages come in stream order, one at a time for each shard. A page is committed after its handler has resolved, so each event is handled
 * at least once; a process that lost its shard meanwhile cannot commit. Resolves when it was told to stop and has finished.
 *
 * @throws TidemarkError when going on is impossible, TypeError when an option cannot be right.
 */
export async function consumeStream<Events>(
  parts: ReadParts,
  stream: string,
  options: ConsumeOptions,
  handler: Handler<Events>,
): Promise<void> {
  const { consumer, signal, leaseMs = 30_000, member = createMember() } = options;
  checkOptions({ leaseMs, member });
  const ending = signal ? AbortSignal.any([signal, parts.closed]) : parts.closed;
  const failing = new AbortController();
  const stop = AbortSignal.any([ending, failing.signal]);
  const cut = cutAfter(stop, endMsMax);
  const shards = await putConsumer(parts, stream, options, stop);
  if (shards === undefined) return;

  const working = new Map<number, ShardWorker>();
  let failure: Error | undefined;
  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    failing.abort();
  };
  const begin = (lease: Lease): void => {
    const worker = createShardWorker<Events>({
      ...{ parts, stream, options, handler, lease, shards, member, leaseMs, stop, cut },
      tooMany: (share) => [...working.values()].filter((one) => !one.leaving).length > share,
    });
    working.set(lease.shard, worker);
    void worker.ended.catch(fail).finally(() => working.delete(lease.shard));
  };

  const path = paths.consumerLease(stream, consumer);
  const ask = { method: 'POST', path, body: { member, ttlMs: leaseMs } } as const;
  while (!stop.aborted) {
    const lease = await askPatiently(parts, ask, stop, leaseOf).catch((error: unknown) => {
      if (!isNoneFree(error)) fail(error);
      return undefined;
    });
    if (lease !== undefined) {
      // A shard that we have may be given to us anew: at once where there is only one, else after we have lost it for a while.
      const known = working.get(lease.shard);
      if (known !== undefined && known.generation !== lease.generation) await known.lose();
      if (!working.has(lease.shard)) begin(lease);
      if (working.size < lease.share) continue;
    }
    const restMs = (leaseMs / 3) * (0.75 + parts.platform.random() / 4);
    await Promise.race([pause(restMs, stop), ...endings(working)]);
  }
  await Promise.all(endings(working));
  cut.cancel();
  if (failure !== undefined) throw failure;
}

function endings(working: ReadonlyMap<number, ShardWorker>): Promise<void>[] {
  return [...working.values()].map(({ ended }) => ended.catch(() => {}));
}

/** How many shards it has; undefined when stopped. Waits for a stream that nobody has sent anything to yet. */
async function putConsumer(
  parts: ReadParts,
  stream: string,
  { consumer, from, shards }: ConsumeOptions,
  stop: AbortSignal,
): Promise<number | undefined> {
  const body = { ...(from !== undefined && { from }), ...(shards !== undefined && { shards }) };
  const ask = { method: 'PUT' as const, path: paths.consumer(stream, consumer), body };
  for (let told = false; !stop.aborted; told = true) {
    try {
      const made = await askPatiently(parts, ask, stop, consumerOf);
      return made?.shards.length;
    } catch (error) {
      if (!(error instanceof TidemarkError && error.code === 'stream_not_found')) throw error;
      if (!told) process.emitWarning(`There is no stream ${stream} yet: waiting for it`, 'TidemarkWarning');
      await pause(1_000 + 1_000 * parts.platform.random(), stop);
    }
  }
  return undefined;
}

const leaseOf = wholeWhere<Lease>(
  ({ shard, generation, cursor }) =>
    typeof shard === 'number' && typeof generation === 'number' && typeof cursor === 'string',
);
const consumerOf = wholeWhere<Consumer>(({ shards }) => Array.isArray(shards));

function isNoneFree(error: unknown): boolean {
  return error instanceof TidemarkError && error.code === 'no_free_shard';
}

function createMember(): string {
  const host = hostname()
    .replace(/[^!-~]/g, '-')
    .slice(0, 80);
  return `${host}-${process.pid}-${randomBytes(6).toString('hex')}`;
}

function checkOptions({ leaseMs, member }: { leaseMs: number; member: string }): void {
  const { min, max } = consumerLimits.ttlMs;
  if (!(leaseMs >= min && leaseMs <= max))
    throw new TypeError(`leaseMs must be from ${min} to ${max}, not ${leaseMs}`);
  if (!memberPattern.test(member))
    throw new TypeError('member must have 1 to 128 characters of visible ASCII');
}

/** Aborted so long after another signal. */
function cutAfter(stop: AbortSignal, ms: number): { readonly signal: AbortSignal; cancel(): void } {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  stop.addEventListener('abort', () => {
    timer = setTimeout(() => controller.abort(), ms).unref();
  });
  return { signal: controller.signal, cancel: () => clearTimeout(timer) };
}
