import type { Figure } from './figure.ts';
import { createIngest } from './ingest.ts';

/** Durable ingest against the fastest way there is to bring rows into Postgres. */
export const p1: Figure = {
  name: 'P1',
  title: 'durable ingest of batches over HTTP, against COPY of the same rows into the same tables',
  async prepare(bench) {
    const ingest = await createIngest(bench);
    const { load } = bench;
    return {
      cases: [
        { name: 'HTTP', measure: () => ingest.overHttp('as it is') },
        { name: 'COPY', measure: () => ingest.byCopy('as it is') },
        { name: 'HTTP without claims', measure: () => ingest.overHttp('without claims') },
        { name: 'COPY without claims', measure: () => ingest.byCopy('without claims') },
      ],
      ratios: [
        { of: 'HTTP', to: 'COPY', atLeast: 1 },
        { of: 'HTTP without claims', to: 'COPY without claims' },
      ],
      notes: [
        `${load.events.toLocaleString('en')} events of ${load.bytesPerEvent} bytes in batches of ${load.eventsPerBatch}, 16 connections; COPY by ${ingest.copier}`,
      ],
      close: () => ingest.close(),
    };
  },
};
