import { Hono } from 'hono';
import type { createLeases } from '../read/lease.ts';
import type { Authenticate } from './authenticate.ts';
import { leaseBody, releaseBody } from './consumer-bodies.ts';
import { enterConsumer } from './consumers.ts';
import { describeLease } from './describe-consumer.ts';
import { readJsonBody } from './json-body.ts';
import { refusedConsumer } from './refused-consumer.ts';
import type { Replies } from './respond.ts';

export interface ConsumerLeaseDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly leases: ReturnType<typeof createLeases>;
}

const path = '/v1/streams/:stream/consumers/:consumer/lease';

/** `POST …/lease` takes a shard or renews a lease, `DELETE …/lease` gives it back. */
export function createConsumerLeaseRoute(dependencies: ConsumerLeaseDependencies): Hono {
  const { authenticate, replies, leases } = dependencies;
  return new Hono()
    .post(path, async (context) => {
      const consumer = await enterConsumer(context, authenticate);
      const example = { member: 'worker-1', ttlMs: 30_000 };
      const { member, ttlMs, shard } = await readJsonBody(context.req, leaseBody, example);
      const given = await leases.lease({ ...consumer, member, shard, ttl: BigInt(ttlMs) * 1_000n });
      if ('refused' in given) throw refusedConsumer(given, consumer);
      return replies.json(describeLease(given));
    })
    .delete(path, async (context) => {
      const consumer = await enterConsumer(context, authenticate);
      const example = { member: 'worker-1', shard: 0, generation: 1 };
      const { member, shard, generation } = await readJsonBody(context.req, releaseBody, example);
      const lease = { ...consumer, member, shard, generation: BigInt(generation) };
      const released = await leases.release(lease);
      if (typeof released !== 'boolean') throw refusedConsumer(released, consumer);
      return replies.json({ shard, released });
    });
}
