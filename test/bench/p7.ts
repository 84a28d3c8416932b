import { connect } from '../../collector/src/store/database.ts';
import { type Proxy, startProxy } from '../harness/proxy.ts';
import { peakMebibytes } from '../harness/process-memory.ts';
import { measureEvents } from './cpu.ts';
import type { Figure, Measurement } from './figure.ts';
import type { Offered } from './generate.ts';
import { putStream } from './ingest.ts';
import { makeLoad, writeLoad } from './load.ts';
import { emptyTables } from './postgres.ts';
import { percentile } from './statistics.ts';
import { join } from 'node:path';

/** Milliseconds that the network between collector and Postgres takes in each direction: so neither of them is what limits. */
const delayMs = 200;
const eventsPerBatch = 100;
const connections = 1_024;
const seconds = 8;

/**
 * What ten times too much does. The load comes in an open loop: full load is what the collector was seen to take of far too much, and
 * overload is ten times that.
 */
export const p7: Figure = {
  name: 'P7',
  title: 'ten times overload, Postgres behind a slow network',
  async prepare(bench) {
    const { generator, postgres, folder } = bench;
    const load = makeLoad({ batches: 400, eventsPerBatch, startMs: Date.now() - 600_000 });
    const file = join(folder, 'overload.ndjson');
    await writeLoad(load, file);
    const databaseUrl = await postgres.createDatabase();
    const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
    const proxy = await startProxy(() => ({ kind: 'far', ms: delayMs }));
    const collector = await bench.startCollector(throughProxy(databaseUrl, proxy));
    await putStream(collector, load.stream, 0);
    const { url, keys } = collector;
    let fullRate = 50;

    async function offer(batchesPerSecond: number): Promise<{ offered: Offered; measured: Measurement }> {
      await emptyTables(sql);
      const meters = { collector: collector.cpu, generator: generator.cpu };
      const order = { url, key: keys.write, connections, batchesPerSecond, seconds };
      const { result, measured } = await measureEvents(1, meters, () => generator.offer(order));
      const { '% CPU collector': own = Number.NaN, '% CPU generator': theirs = Number.NaN } = measured;
      return { offered: result, measured: { '% CPU collector': own, '% CPU generator': theirs } };
    }

    async function measure(batchesPerSecond: number): Promise<Measurement> {
      const { offered, measured } = await offer(batchesPerSecond);
      return {
        'goodput batches/s': offered.accepted / offered.answeredSeconds,
        'offered batches/s': batchesPerSecond,
        'ms p50 of accepted': percentile(offered.acceptedMs, 0.5),
        'ms p99 of accepted': percentile(offered.acceptedMs, 0.99),
        refused: offered.refused,
        failed: offered.failed,
        'without Retry-After': offered.withoutRetryAfter,
        'MiB peak RSS': await peakMebibytes(collector.pid),
        ...measured,
      };
    }

    await generator.load(file);
    // What it takes of three times too much, twice: the first time compiles.
    for (let round = 0; round < 2; round += 1) {
      const { offered } = await offer(fullRate * 3);
      fullRate = offered.accepted / offered.answeredSeconds;
    }
    return {
      cases: [
        { name: 'full load', measure: () => measure(fullRate) },
        { name: '10 × full load', measure: () => measure(fullRate * 10) },
      ],
      ratios: [
        { of: '10 × full load', to: 'full load', atLeast: 0.9 },
        { of: '10 × full load', to: 'full load', value: 'ms p99 of accepted', atMost: 2 },
      ],
      bounds: [
        { case: '10 × full load', value: 'failed', atMost: 0 },
        { case: '10 × full load', value: 'without Retry-After', atMost: 0 },
        { case: '10 × full load', value: 'MiB peak RSS', atMost: 256 },
        { case: '10 × full load', value: '% CPU collector', atMost: 70 },
        { case: '10 × full load', value: '% CPU generator', atMost: 70 },
      ],
      notes: [
        `${eventsPerBatch} events a batch, ${delayMs} ms each way to Postgres, up to ${connections} connections, ${seconds} s each`,
      ],
      async close() {
        await collector.stop();
        await proxy.close();
        await sql.end();
      },
    };
  },
};

function throughProxy(databaseUrl: string, proxy: Proxy): string {
  const url = new URL(databaseUrl);
  proxy.aim(Number(url.port));
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  return url.href;
}
