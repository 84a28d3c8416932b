import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import { paths } from '@tidemark/core/wire';
import { Pool } from 'undici';
import { eventually } from '../harness/eventually.ts';
import type { BenchCollector } from './bench.ts';
import type { Figure, Measurement } from './figure.ts';
import { putStream, watermarkDelayMs } from './ingest.ts';
import { peakMebibytes } from '../harness/process-memory.ts';
import { percentile } from './statistics.ts';

const stalledReaders = 1_000;
const pages = 200;
const pageEvents = 1_000;
/** Connections that are opened at once. */
const opening = 50;

/** What live readers cost that take nothing from their connections. */
export const stalled: Figure = {
  name: 'stalled',
  title: `pages beside ${stalledReaders.toLocaleString('en')} live readers that read nothing, against pages alone`,
  async prepare(bench) {
    const { generator, load, postgres } = bench;
    const databaseUrl = await postgres.createDatabase();
    const filling = await bench.startCollector(databaseUrl);
    const { eventsPerBatch, bodies, stream } = load;
    await putStream(filling, stream, watermarkDelayMs);
    await generator.send({
      url: filling.url,
      key: filling.keys.write,
      connections: 16,
      batches: bodies.length,
      eventsPerBatch,
    });
    await putStream(filling, stream, 0);
    await filling.stop();

    /** Peaks cannot be taken back: each time a process of its own. */
    async function measure(readers: number): Promise<Measurement> {
      const collector = await bench.startCollector(databaseUrl);
      const sockets: Socket[] = [];
      try {
        const took = await readPages(collector, stream);
        const before = await peakMebibytes(collector.pid);
        while (sockets.length < readers)
          sockets.push(
            ...(await Promise.all(Array.from({ length: opening }, () => openStalled(collector, stream)))),
          );
        const beside = await readPages(collector, stream);
        const closed = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length;
        return {
          'ms p50 of a page': percentile(beside, 0.5),
          'ms p99 of a page': percentile(beside, 0.99),
          'ms p50 before they came': percentile(took, 0.5),
          'ms p99 before they came': percentile(took, 0.99),
          'MiB peak RSS': await peakMebibytes(collector.pid),
          'MiB before': before,
          'readers that stayed': sockets.length - closed,
        };
      } finally {
        for (const socket of sockets) socket.destroy();
        await collector.stop();
      }
    }

    return {
      cases: [
        { name: 'with stalled readers', measure: () => measure(stalledReaders) },
        { name: 'alone', measure: () => measure(0) },
      ],
      ratios: [
        { of: 'with stalled readers', to: 'alone' },
        { of: 'with stalled readers', to: 'alone', value: 'ms p99 of a page' },
      ],
      bounds: [{ case: 'with stalled readers', value: 'MiB peak RSS', atMost: 256 }],
      notes: [
        `${pages} pages of ${pageEvents.toLocaleString('en')} one after the other; the others ask for the stream from its beginning as SSE, and take nothing of the ${load.events.toLocaleString('en')} events`,
      ],
      close: async () => {},
    };
  },
};

async function readPages({ url, keys }: BenchCollector, stream: string): Promise<readonly number[]> {
  const pool = new Pool(url, { connections: 1 });
  const headers = { authorization: `Bearer ${keys.read}` };
  const path = `${paths.streamEvents(stream)}?limit=${pageEvents}&from=earliest`;
  const took: number[] = [];
  try {
    for (let page = 0; page < pages; page += 1) {
      const startedMs = performance.now();
      const answer = await pool.request({ method: 'GET', path, headers });
      const text = await answer.body.text();
      took.push(performance.now() - startedMs);
      if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode} ${text.slice(0, 500)}`);
    }
    return took;
  } finally {
    await pool.destroy();
  }
}

/** Comes back when the first of it has come; nothing is taken from the socket. */
async function openStalled({ url, keys }: BenchCollector, stream: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connectSocket({ host: hostname, port: Number(port) });
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(
    `GET ${paths.streamEvents(stream)}?from=earliest HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\nAuthorization: Bearer ${keys.read}\r\n\r\n`,
  );
  await eventually('a live reader is answered', () => socket.bytesRead > 0, 60_000);
  return socket;
}
