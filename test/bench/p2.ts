import { join } from 'node:path';
import { connect } from '../../collector/src/store/database.ts';
import { startBareServer } from './other-server.ts';
import { measureEvents } from './cpu.ts';
import type { Figure, Measurement } from './figure.ts';
import { putStream } from './ingest.ts';
import { makeLoad, writeLoad } from './load.ts';
import { emptyTables } from './postgres.ts';

const connections = 256;
/** As many as one group commit has to serve where nobody waits for anybody. */
const manyConnections = 1_000;
const requests = 10_000;
const warmUpRounds = 2;

/** Clients that send each event by itself: what is left of a server's requests when each of them is on disk before it is answered. */
export const p2: Figure = {
  name: 'P2',
  title: 'durable ingest of one event a request, against a route of the same server that answers a constant',
  async prepare(bench) {
    const { generator, postgres, folder } = bench;
    const load = makeLoad({ batches: requests, eventsPerBatch: 1, startMs: Date.now() - 600_000 });
    const file = join(folder, 'single.ndjson');
    await writeLoad(load, file);
    await generator.load(file);
    const databaseUrl = await postgres.createDatabase();
    const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
    const collector = await bench.startCollector(databaseUrl);
    const bare = await startBareServer(1);
    const order = { key: collector.keys.write, batches: requests, eventsPerBatch: 1 };
    await putStream(collector, load.stream, 86_400_000);

    async function durably(connections: number): Promise<Measurement> {
      await emptyTables(sql);
      const meters = { server: collector.cpu, Postgres: postgres.cpu, generator: generator.cpu };
      const sending = () => generator.send({ ...order, connections, url: collector.url });
      const { measured } = await measureEvents(requests, meters, sending);
      const [stored] = await sql<[{ count: number }]>`select count(*)::integer as count from tidemark.events`;
      if (stored.count !== requests) throw new Error(`${requests} events: the table has ${stored.count}`);
      return measured;
    }

    async function barely(): Promise<Measurement> {
      const meters = { server: bare.cpu, generator: generator.cpu };
      const sending = () => generator.send({ ...order, connections, url: bare.url });
      return (await measureEvents(requests, meters, sending)).measured;
    }

    for (let round = 0; round < warmUpRounds; round += 1) {
      await durably(connections);
      await barely();
    }
    return {
      cases: [
        { name: 'one event a request', measure: () => durably(connections) },
        { name: 'the same, 1,000 connections', measure: () => durably(manyConnections) },
        { name: 'Hono route that answers a constant', measure: barely },
      ],
      ratios: [
        { of: 'one event a request', to: 'Hono route that answers a constant', atLeast: 0.5 },
        { of: 'the same, 1,000 connections', to: 'one event a request' },
      ],
      notes: [
        `${requests.toLocaleString('en')} requests a round, ${connections} connections where nothing else is said; events/s are requests/s`,
      ],
      async close() {
        await bare.stop();
        await collector.stop();
        await sql.end();
      },
    };
  },
};
