import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from '../../collector/src/store/database.ts';
import type { Figure, Measurement } from './figure.ts';
import { putStream } from './ingest.ts';
import { makeLoad, writeLoad } from './load.ts';
import { peakMebibytes } from '../harness/process-memory.ts';
import { emptyTables } from './postgres.ts';

const eventsPerBatch = 100;
const connections = 1_024;
/** Ten times what it takes here, and more. */
const batchesPerSecond = 3_000;
const overloadSeconds = 10;
const stoppedSeconds = 60;

/** What a collector's memory comes to when far too much comes, and when Postgres stands still; Postgres' own is not counted. */
export const p6: Figure = {
  name: 'P6',
  title: 'memory of the collector under ten times its load, and with Postgres stopped for a minute',
  async prepare(bench) {
    const { generator, postgres, folder } = bench;
    const load = makeLoad({ batches: 400, eventsPerBatch, startMs: Date.now() - 600_000 });
    const file = join(folder, 'memory.ndjson');
    await writeLoad(load, file);
    await generator.load(file);
    const databaseUrl = await postgres.createDatabase();
    const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });

    async function measure(seconds: number, isStopped: boolean, hasSpool = false): Promise<Measurement> {
      await emptyTables(sql);
      // Peaks cannot be taken back: each case has a process of its own.
      const spoolDir = await mkdtemp(join(folder, 'spool-'));
      const environment = hasSpool ? { TIDEMARK_SPOOL_DIR: spoolDir } : {};
      const collector = await bench.startCollector(databaseUrl, environment);
      try {
        await putStream(collector, load.stream, 0);
        const idle = await peakMebibytes(collector.pid);
        if (isStopped) await postgres.halt();
        const { url, keys } = collector;
        const order = { url, key: keys.write, connections, batchesPerSecond, seconds };
        const offered = await generator.offer(order);
        return {
          'MiB peak RSS': await peakMebibytes(collector.pid),
          'MiB before': idle,
          accepted: offered.accepted,
          refused: offered.refused,
          failed: offered.failed,
        };
      } finally {
        await postgres.goOn();
        await collector.stop();
        await rm(spoolDir, { recursive: true });
      }
    }

    return {
      cases: [
        { name: 'ten times too much', measure: () => measure(overloadSeconds, false) },
        { name: 'Postgres stopped', measure: () => measure(stoppedSeconds, true) },
        { name: 'ten times too much, with a spool', measure: () => measure(overloadSeconds, false, true) },
        { name: 'Postgres stopped, with a spool', measure: () => measure(overloadSeconds, true, true) },
      ],
      bounds: [
        { case: 'ten times too much', value: 'MiB peak RSS', atMost: 256 },
        { case: 'Postgres stopped', value: 'MiB peak RSS', atMost: 256 },
      ],
      notes: [
        `${batchesPerSecond} batches/s of ${eventsPerBatch} events are due, up to ${connections} connections; while Postgres stands still answers are 503`,
      ],
      close: () => sql.end(),
    };
  },
};
