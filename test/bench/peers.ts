import { join } from 'node:path';
import { connect } from '../../collector/src/store/database.ts';
import type { Bench } from './bench.ts';
import { type CpuMeter, measureEvents } from './cpu.ts';
import type { Case, Figure, Measurement, Ratio } from './figure.ts';
import { putStream } from './ingest.ts';
import { makeLoad, writeLoad } from './load.ts';
import { startOther } from './other-server.ts';
import { type PeerName, startPublisher } from './peer-publish.ts';
import { type PeerServer, startNats, startRedis } from './peer-servers.ts';
import { emptyTables } from './postgres.ts';
import { percentile } from './statistics.ts';

/** How much is under way at once, and how much there is in a round. */
const single = { eventsEach: 1, concurrency: 256, events: 5_000 };
const batches = { eventsEach: 500, concurrency: 16, events: 50_000 };
type Size = typeof single;

/** A case, what it is held against, and what ends it. */
interface Peer {
  readonly cases: readonly Case[];
  readonly notes: readonly string[];
  close(): Promise<void>;
}

interface Files {
  readonly single: string;
  readonly batches: string;
}

/** The same events given to what else one could keep them in, each of them on disk before it is acknowledged. */
export const peers: Figure = {
  name: 'peers',
  title: 'acknowledged events, against what else takes events',
  async prepare(bench) {
    const files = await writeLoads(bench);
    const started: Peer[] = [];
    try {
      for (const start of [startOurs, startRoute, startPgBoss, startJetStream, startStreams])
        started.push(await start(bench, files));
      // For the compiler.
      for (const { cases } of started) for (const one of cases) await one.measure();
    } catch (error) {
      for (const peer of started) await peer.close();
      throw error;
    }
    const cases = started.flatMap((peer) => peer.cases);
    return {
      cases,
      ratios: ratiosOf(cases),
      notes: [
        `one by one: ${single.events.toLocaleString('en')} a round, ${single.concurrency} under way; by ${batches.eventsEach}: ${batches.events.toLocaleString('en')} a round, ${batches.concurrency} under way; ms p99 is of a request, or of what is acknowledged at once`,
        'Tidemark and the Hono route are reached over HTTP, the others by their own client libraries',
        ...started.flatMap((peer) => peer.notes),
      ],
      async close() {
        for (const peer of started) await peer.close();
      },
    };
  },
};

const ours = (size: Size) => `Tidemark ${manner(size)}`;

function manner({ eventsEach }: Size): string {
  return eventsEach === 1 ? 'one by one' : `by ${eventsEach}`;
}

/** Ours by each of the others, in the same manner. */
function ratiosOf(cases: readonly Case[]): Ratio[] {
  return [single, batches].flatMap((size) =>
    cases
      .filter(({ name }) => name.endsWith(manner(size)) && name !== ours(size))
      .map(({ name }) => ({ of: ours(size), to: name })),
  );
}

async function writeLoads({ folder }: Bench): Promise<Files> {
  const startMs = Date.now() - 600_000;
  const files = { single: join(folder, 'peers-single.ndjson'), batches: join(folder, 'peers.ndjson') };
  await writeLoad(makeLoad({ batches: single.events, eventsPerBatch: 1, startMs }), files.single);
  const { events, eventsEach } = batches;
  await writeLoad(
    makeLoad({ batches: events / eventsEach, eventsPerBatch: eventsEach, startMs }),
    files.batches,
  );
  return files;
}

async function startOurs(bench: Bench, files: Files): Promise<Peer> {
  const databaseUrl = await bench.postgres.createDatabase();
  const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
  const collector = await bench.startCollector(databaseUrl);
  await putStream(collector, 'bench', 86_400_000);
  const target = { url: collector.url, key: collector.keys.write, cpu: collector.cpu };
  return {
    cases: [single, batches].map((size) =>
      overHttp(bench, files, { ...target, name: 'Tidemark', size, empty: () => emptyTables(sql) }),
    ),
    notes: [],
    async close() {
      await collector.stop();
      await sql.end();
    },
  };
}

async function startRoute(bench: Bench, files: Files): Promise<Peer> {
  const databaseUrl = await bench.postgres.createDatabase();
  const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
  const route = await startOther(new URL('peer-route.ts', import.meta.url), databaseUrl);
  async function empty(): Promise<void> {
    await sql`truncate plain_events`;
    await sql`checkpoint`;
  }
  const target = { url: route.url, key: 'none', cpu: route.cpu };
  return {
    cases: [single, batches].map((size) =>
      overHttp(bench, files, { ...target, name: 'Hono route with Drizzle', size, empty }),
    ),
    notes: ['Hono route with Drizzle: one INSERT a request, on 20 connections'],
    async close() {
      await route.stop();
      await sql.end();
    },
  };
}

interface HttpTarget {
  readonly name: string;
  readonly url: string;
  readonly key: string;
  readonly cpu: CpuMeter;
  readonly size: Size;
  empty(): Promise<void>;
}

function overHttp({ generator, postgres }: Bench, files: Files, target: HttpTarget): Case {
  const { name, url, key, size } = target;
  return {
    name: `${name} ${manner(size)}`,
    async measure() {
      await generator.load(size === single ? files.single : files.batches);
      await target.empty();
      const meters = { server: target.cpu, Postgres: postgres.cpu, client: generator.cpu };
      const { result, measured } = await measureEvents(size.events, meters, () =>
        generator.send({
          url,
          key,
          connections: size.concurrency,
          batches: size.events / size.eventsEach,
          eventsPerBatch: size.eventsEach,
        }),
      );
      return withP99(measured, result.tookMs);
    },
  };
}

async function startPgBoss({ postgres }: Bench, files: Files): Promise<Peer> {
  const url = await postgres.createDatabase();
  return publishing('pg-boss', {
    url,
    files,
    meters: { Postgres: postgres.cpu },
    sizes: [single, batches],
    notes: ['pg-boss: send, and insert of an array, on 20 connections'],
    stop: async () => {},
  });
}

async function startJetStream({ folder }: Bench, files: Files): Promise<Peer> {
  const server = await startNats(folder);
  if (server === undefined)
    return missing('NATS JetStream is skipped: there is no nats-server on this machine');
  return publishingTo('NATS JetStream', server, {
    files,
    // It has no publish of several that are acknowledged together.
    sizes: [single],
    notes: [
      `nats-server ${server.version}, file storage, ${server.durable ? 'sync_interval always' : 'which cannot sync before it acknowledges (2.10 and later can): what it acknowledges may be lost with the machine'}`,
    ],
  });
}

async function startStreams({ folder }: Bench, files: Files): Promise<Peer> {
  const server = await startRedis(folder);
  if (server === undefined)
    return missing('Redis Streams are skipped: there is no redis-server on this machine');
  return publishingTo('Redis Streams', server, {
    files,
    sizes: [single, batches],
    notes: [
      `redis-server ${server.version}, appendfsync always, on one connection; by 500 in MULTI and EXEC`,
    ],
  });
}

interface PublishingTo {
  readonly files: Files;
  readonly sizes: readonly Size[];
  readonly notes: readonly string[];
}

function publishingTo(peer: PeerName, server: PeerServer, rest: PublishingTo): Promise<Peer> {
  const { url, cpu } = server;
  return publishing(peer, { ...rest, url, meters: { server: cpu }, stop: () => server.stop() });
}

async function publishing(
  peer: PeerName,
  options: PublishingTo & {
    readonly url: string;
    readonly meters: Readonly<Record<string, CpuMeter>>;
    stop(): Promise<void>;
  },
): Promise<Peer> {
  const publisher = await startPublisher({ peer, url: options.url, file: options.files.batches });
  const meters = { ...options.meters, client: publisher.cpu };
  const measure = async ({ events, eventsEach, concurrency }: Size): Promise<Measurement> => {
    const { result, measured } = await measureEvents(events, meters, () =>
      publisher.publish({ count: events, concurrency, eventsEach }),
    );
    return withP99(measured, result.tookMs);
  };
  return {
    cases: options.sizes.map((size) => ({ name: `${peer} ${manner(size)}`, measure: () => measure(size) })),
    notes: options.notes,
    async close() {
      await publisher.stop();
      await options.stop();
    },
  };
}

function missing(note: string): Peer {
  process.stderr.write(`${note}\n`);
  return { cases: [], notes: [note], close: async () => {} };
}

function withP99({ 'events/s': rate = Number.NaN, ...rest }: Measurement, tookMs: Float64Array): Measurement {
  return { 'events/s': rate, 'ms p99': percentile(tookMs, 0.99), ...rest };
}
