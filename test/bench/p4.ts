import { connect } from '../../collector/src/store/database.ts';
import { measureEvents } from './cpu.ts';
import type { Figure, Measurement } from './figure.ts';
import { putStream } from './ingest.ts';
import { emptyTables } from './postgres.ts';
import { percentile } from './statistics.ts';

const connections = 16;
const warmUpRounds = 2;

/**
 * How soon an event can be read. Each round first finds out how much the collector takes at this moment, then sends half of that at a
 * steady pace to a stream that waits for nobody, while a reader follows it by long polls.
 */
export const p4: Figure = {
  name: 'P4',
  title: 'append to readable, watermark delay 0, at half of the full load',
  async prepare(bench) {
    const { generator, load, postgres } = bench;
    const databaseUrl = await postgres.createDatabase();
    const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
    const collector = await bench.startCollector(databaseUrl);
    const { url, keys } = collector;
    const { eventsPerBatch, bodies, stream } = load;
    await putStream(collector, stream, 0);
    const order = { url, key: keys.write, connections, batches: bodies.length, eventsPerBatch };

    async function measure(): Promise<Measurement> {
      await emptyTables(sql);
      const full = await generator.send(order);
      await emptyTables(sql);
      const batchesPerSecond = bodies.length / full.seconds / 2;
      const deadlineMs = (bodies.length / batchesPerSecond) * 1_000 + 60_000;
      const follow = { ...order, batchesPerSecond, readKey: keys.read, stream, deadlineMs };
      const meters = { collector: collector.cpu, Postgres: postgres.cpu, generator: generator.cpu };
      const { result, measured } = await measureEvents(load.events, meters, () => generator.follow(follow));
      return {
        'ms p50': percentile(result.sinceDueMs, 0.5),
        'ms p99': percentile(result.sinceDueMs, 0.99),
        'ms p50 after the reply': percentile(result.sinceAcknowledgedMs, 0.5),
        'ms p99 after the reply': percentile(result.sinceAcknowledgedMs, 0.99),
        ...measured,
      };
    }

    for (let round = 0; round < warmUpRounds; round += 1) {
      await emptyTables(sql);
      await generator.send(order);
    }
    return {
      cases: [{ name: 'sent to read', measure }],
      bounds: [
        { case: 'sent to read', value: 'ms p50', atMost: 120 },
        { case: 'sent to read', value: 'ms p99', atMost: 400 },
      ],
      notes: [
        'from the moment a batch is due to be sent to that in which a reader has the page with the event',
      ],
      async close() {
        await collector.stop();
        await sql.end();
      },
    };
  },
};
