// A consumer in a process of its own. It prints a line for each step, and the first argument says what it is to do.

import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@tidemark/node';

export interface ConsumeTask {
  readonly url: string;
  readonly key: string;
  readonly stream: string;
  readonly consumer: string;
  readonly member: string;
  readonly leaseMs: number;
  readonly pageEvents: number;
  /** How long each page takes. */
  readonly handleMs: number;
}

const { url, key, stream, handleMs, ...options }: ConsumeTask = JSON.parse(process.argv[2] ?? '{}');
const client = createClient({ url, key, requestTimeoutMs: 2_000 });
console.log('ready');
await client.consume(stream, options, async (page, { shard, signal }) => {
  const ids = page.events.map((event) => event.id).join(' ');
  signal.addEventListener('abort', () => console.log(`lost ${shard}`));
  console.log(`begin ${shard} ${ids}`);
  await sleep(handleMs);
  console.log(`end ${shard} ${ids}`);
});
console.log('over');
await client.close();
