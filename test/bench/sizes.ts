import type { Case, Figure, Measurement } from './figure.ts';
import { createIngest, type Ingest } from './ingest.ts';
import type { Load } from './load.ts';
import { makeSizedLoad } from './sized-load.ts';

/** Bytes of an event, and how many of them there are in a round. */
const spread = [
  { name: '100 B', bytes: 100, events: 100_000 },
  { name: '300 B', bytes: 300, events: 100_000 },
  { name: '2 kB', bytes: 2_000, events: 20_000 },
  { name: '30 kB', bytes: 30_000, events: 2_000 },
];

/** What events cost that are smaller or larger than usual. */
export const sizes: Figure = {
  name: 'sizes',
  title: 'durable ingest by the size of events, against COPY of the same rows into the same tables',
  async prepare(bench) {
    const made: { readonly name: string; readonly load: Load; readonly ingest: Ingest }[] = [];
    const close = async () => {
      for (const { ingest } of made) await ingest.close();
    };
    try {
      for (const { name, bytes, events } of spread) {
        const load = makeSizedLoad(bytes, events);
        made.push({ name, load, ingest: await createIngest(bench, { load }) });
      }
    } catch (error) {
      await close();
      throw error;
    }
    return {
      cases: made.flatMap(({ name, load, ingest }): Case[] => [
        { name: `${name} HTTP`, measure: async () => withBytes(await ingest.overHttp('as it is'), load) },
        { name: `${name} COPY`, measure: async () => withBytes(await ingest.byCopy('as it is'), load) },
      ]),
      ratios: made.map(({ name }) => ({ of: `${name} HTTP`, to: `${name} COPY` })),
      notes: made.map(
        ({ name, load }) =>
          `${name}: ${load.events.toLocaleString('en')} events of ${load.bytesPerEvent} bytes a round, ${load.eventsPerBatch} in a batch, 16 connections`,
      ),
      close,
    };
  },
};

/** MB/s: millions of bytes of the bodies. */
function withBytes({ 'events/s': rate = Number.NaN, ...rest }: Measurement, load: Load): Measurement {
  return { 'events/s': rate, 'MB/s': (rate * load.bytesPerEvent) / 1e6, ...rest };
}
