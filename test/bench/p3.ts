import { request } from 'node:http';
import { paths } from '@tidemark/core/wire';
import { connect } from '../../collector/src/store/database.ts';
import type { BenchCollector } from './bench.ts';
import { createCopier } from './copy.ts';
import { measureEvents, ownMeter } from './cpu.ts';
import type { Figure, Measurement } from './figure.ts';
import { copyMeters, eventColumns, putStream, watermarkDelayMs } from './ingest.ts';

const connections = 16;
const pageEvents = 10_000;
const pageBytes = 16_777_216;

/** Reading all of a stream against the fastest way there is to get rows out of Postgres. */
export const p3: Figure = {
  name: 'P3',
  title: `a stream as NDJSON, pages of ${pageEvents.toLocaleString('en')}, against COPY of the same rows TO STDOUT`,
  async prepare(bench) {
    const { generator, load, postgres } = bench;
    const databaseUrl = await postgres.createDatabase();
    const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
    const collector = await bench.startCollector(databaseUrl);
    const { url, keys } = collector;
    const { eventsPerBatch, bodies, stream } = load;
    await putStream(collector, stream, watermarkDelayMs);
    await generator.send({ url, key: keys.write, connections, batches: bodies.length, eventsPerBatch });
    await putStream(collector, stream, 0);
    await sql`vacuum analyze tidemark.events`;
    const copier = await createCopier(databaseUrl);
    const expect = (events: number) => {
      if (events !== load.events) throw new Error(`${events} of ${load.events} events were read`);
    };

    async function pages(): Promise<Measurement> {
      const meters = { collector: collector.cpu, Postgres: postgres.cpu, reader: ownMeter };
      const { result, measured } = await measureEvents(load.events, meters, () => readAll(collector, stream));
      expect(result);
      return measured;
    }

    async function copy(query: string): Promise<Measurement> {
      const meters = copyMeters(copier, postgres.cpu);
      const { measured } = await measureEvents(load.events, meters, () => copier.take(query));
      return measured;
    }

    // The last events are readable when the watermark has passed them.
    const deadline = performance.now() + 30_000;
    while ((await readAll(collector, stream)) < load.events) {
      if (performance.now() > deadline) throw new Error('the events do not become readable');
    }
    const query = `select ${eventColumns} from tidemark.events`;
    return {
      cases: [
        { name: 'NDJSON', measure: pages },
        { name: 'COPY', measure: () => copy(query) },
        { name: 'COPY in order', measure: () => copy(`${query} order by order_time, seq`) },
      ],
      ratios: [
        { of: 'NDJSON', to: 'COPY', atLeast: 0.7 },
        { of: 'NDJSON', to: 'COPY in order' },
      ],
      notes: [
        `${load.events.toLocaleString('en')} events of ${load.bytesPerEvent} bytes, one reader; COPY by ${copier.program}`,
      ],
      async close() {
        await collector.stop();
        await copier.close();
        await sql.end();
      },
    };
  },
};

/** Follows a stream from its beginning to its end; how many events that were. */
async function readAll(collector: BenchCollector, stream: string): Promise<number> {
  let events = 0;
  let start = 'from=earliest';
  for (;;) {
    const page = await readPage(
      collector,
      `${paths.streamEvents(stream)}?limit=${pageEvents}&maxBytes=${pageBytes}&${start}`,
    );
    events += page.events;
    if (!page.hasMore) return events;
    start = `cursor=${page.nextCursor}`;
  }
}

interface LinesRead {
  readonly events: number;
  readonly nextCursor: string;
  readonly hasMore: boolean;
}

/** Counts lines, and understands the last one alone: what a reader does with events is not measured. */
function readPage({ url, keys }: BenchCollector, path: string): Promise<LinesRead> {
  const headers = { authorization: `Bearer ${keys.read}`, accept: 'application/x-ndjson' };
  return new Promise((resolve, reject) => {
    request(new URL(path, url), { headers }, (response) => {
      let lines = 0;
      let tail = Buffer.alloc(0);
      response.on('data', (chunk: Buffer) => {
        for (let at = chunk.indexOf(lineFeed); at !== -1; at = chunk.indexOf(lineFeed, at + 1)) lines += 1;
        tail = Buffer.concat([tail, chunk]).subarray(-trailerBytesMax);
      });
      response.on('error', reject);
      response.on('end', () => {
        const trailer = tail.toString('utf8').trimEnd().split('\n').at(-1) ?? '';
        const { nextCursor, hasMore } = JSON.parse(trailer) as Omit<LinesRead, 'events'>;
        if (typeof nextCursor !== 'string') reject(new Error(`no page: ${trailer}`));
        else resolve({ events: lines - 1, nextCursor, hasMore });
      });
    })
      .on('error', reject)
      .end();
  });
}

const lineFeed = 0x0a;
const trailerBytesMax = 4_096;
