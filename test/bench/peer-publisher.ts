// The process of a publisher: see `peer-publish.ts`. Its first message says who takes the events, each other one how many to publish.

import { readFile } from 'node:fs/promises';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import PgBoss from 'pg-boss';
import { createClient } from 'redis';
import type { Published, Publishing, PublisherAnswer, PublisherSettings } from './peer-publish.ts';

interface Event {
  readonly id: string;
}

/** Publishes events together; resolves when they are acknowledged, all of them. */
type Publish = (events: readonly Event[]) => Promise<void>;

const subject = 'bench';
const connections = 20;
let publish: Publish | undefined;
let events: readonly Event[] = [];

process.on('message', (order: PublisherSettings | Publishing) => {
  const work = 'peer' in order ? prepare(order) : publishAll(order);
  work.then(
    (result) => answer({ result }),
    (error: unknown) => answer({ error: error instanceof Error ? (error.stack ?? '') : String(error) }),
  );
});
process.on('disconnect', () => process.exit());

async function prepare({ peer, url, file }: PublisherSettings): Promise<undefined> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  events = lines.flatMap((line) => (JSON.parse(line) as { events: Event[] }).events);
  const openers = { 'pg-boss': openPgBoss, 'NATS JetStream': openNats, 'Redis Streams': openRedis };
  publish = await openers[peer](url);
}

async function publishAll({ count, concurrency, eventsEach }: Publishing): Promise<Published> {
  const tookMs: number[] = [];
  let next = 0;
  async function work(): Promise<void> {
    for (let from = next; from < count; from = next) {
      next += eventsEach;
      const some = Array.from({ length: eventsEach }, (_, at) => events[(from + at) % events.length]);
      const startedMs = performance.now();
      await publish?.(some.filter((event) => event !== undefined));
      tookMs.push(performance.now() - startedMs);
    }
  }
  await Promise.all(Array.from({ length: concurrency }, work));
  return { tookMs: Float64Array.from(tookMs) };
}

/** Jobs whose data are the events. */
async function openPgBoss(url: string): Promise<Publish> {
  const boss = new PgBoss({ connectionString: url, max: connections, supervise: false, schedule: false });
  await boss.start();
  await boss.createQueue(subject);
  return async (some) => {
    const [first] = some;
    if (some.length === 1 && first !== undefined) {
      if ((await boss.send(subject, first)) === null) throw new Error(`${first.id} was not stored`);
    } else await boss.insert(some.map((data) => ({ name: subject, data })));
  };
}

/** A message each, with an id so that a copy of it would not be stored again. */
async function openNats(url: string): Promise<Publish> {
  const connection = await connect({ servers: url });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: subject, subjects: [subject] });
  const stream = jetstream(connection);
  let published = 0;
  return async (some) => {
    await Promise.all(
      some.map(async (event) => {
        published += 1;
        const msgID = `${event.id}-${published}`;
        const { duplicate } = await stream.publish(subject, JSON.stringify(event), { msgID });
        if (duplicate) throw new Error(`${msgID} was there already`);
      }),
    );
  };
}

/** An entry each; several in one transaction. */
async function openRedis(url: string): Promise<Publish> {
  const client = await createClient({ url }).connect();
  return async (some) => {
    const transaction = client.multi();
    const [first] = some;
    if (some.length === 1 && first !== undefined) await client.xAdd(subject, '*', entryOf(first));
    else {
      for (const event of some) transaction.xAdd(subject, '*', entryOf(event));
      await transaction.exec();
    }
  };
}

const entryOf = (event: Event) => ({ event: JSON.stringify(event) });

function answer(what: PublisherAnswer): void {
  process.send?.(what);
}
