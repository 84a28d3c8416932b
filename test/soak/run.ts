import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../collector/src/store/database.ts';
import type { Bench } from '../bench/bench.ts';
import type { Offered } from '../bench/generate.ts';
import { putStream } from '../bench/ingest.ts';
import { emptyTables } from '../bench/postgres.ts';
import { connectInspector } from './inspector.ts';
import { type Readers, startReaders } from './readers.ts';
import type { Sample } from './verdict.ts';

export interface SoakOptions {
  readonly seconds: number;
  readonly sampleMs: number;
  /** So long it takes all that it can beside its readers, which says what half of that is. */
  readonly fullSeconds: number;
  onSample(sample: Sample): void;
}

export interface SoakReport {
  readonly samples: readonly Sample[];
  readonly batchesPerSecond: number;
  readonly offered: Offered;
  readonly read: Readers['counts'];
}

const connections = 16;
/** A long run must fit on the disk: what is stored goes away now and then, as no product would do it. */
const storedEventsMax = 2_000_000;
const mebibyte = 2 ** 20;

/** Half of what a collector can take, with readers, for a while; its memory meanwhile. Rejects when more than a batch in a hundred, or a reader, is failed. */
export async function soak(bench: Bench, options: SoakOptions): Promise<SoakReport> {
  const { generator, load, postgres } = bench;
  const { seconds, sampleMs, fullSeconds } = options;
  const databaseUrl = await postgres.createDatabase();
  const sql = connect(databaseUrl, 'tidemark soak', 1, { statement_timeout: 0 });
  const collector = await bench.startCollector(databaseUrl);
  const inspector = await connectInspector(collector.output());
  const { url, keys } = collector;
  await putStream(collector, load.stream, 1_000);
  const order = { url, key: keys.write, connections, fresh: { ids: 'ordered' } } as const;
  await bench.giveLoad();
  const readers = startReaders(collector, load.stream);
  try {
    const full = await generator.send({
      ...order,
      batches: Number.MAX_SAFE_INTEGER,
      secondsMax: fullSeconds,
      eventsPerBatch: load.eventsPerBatch,
    });
    const batchesPerSecond = full.tookMs.length / full.seconds / 2;
    await emptyTables(sql);

    const offering = generator.offer({ ...order, batchesPerSecond, seconds });
    const samples: Sample[] = [];
    const startedMs = performance.now();
    const emptyEverySeconds = storedEventsMax / (batchesPerSecond * load.eventsPerBatch);
    let emptiedSeconds = 0;
    for (let count = 1; count * sampleMs <= seconds * 1_000; count += 1) {
      await Promise.race([readers.ended, sleep(startedMs + count * sampleMs - performance.now())]);
      const { heapUsed, external, rss } = await inspector.collect();
      const atSeconds = (performance.now() - startedMs) / 1_000;
      const sample = { seconds: atSeconds, live: (heapUsed + external) / mebibyte, rss: rss / mebibyte };
      samples.push(sample);
      options.onSample(sample);
      if (atSeconds - emptiedSeconds > emptyEverySeconds) {
        // Locked in the order in which an append does.
        await sql`truncate tidemark.claims, tidemark.events`;
        emptiedSeconds = atSeconds;
      }
    }
    const offered = await offering;
    if (offered.failed > offered.accepted / 100) throw new Error(`${offered.failed} batches failed`);
    return { samples, batchesPerSecond, offered, read: readers.counts };
  } finally {
    await readers.stop();
    inspector.close();
    await collector.stop();
    await sql.end();
  }
}
