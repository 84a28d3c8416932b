import type { Figure } from './figure.ts';
import { createIngest } from './ingest.ts';

/** What it costs that an event is stored once, however often it is sent. */
export const p8: Figure = {
  name: 'P8',
  title: 'cost of G2: durable ingest with claims, against an append that claims nothing',
  async prepare(bench) {
    const ingest = await createIngest(bench);
    return {
      cases: [
        { name: 'with claims', measure: () => ingest.overHttp('as it is') },
        { name: 'without claims', measure: () => ingest.overHttp('without claims') },
      ],
      ratios: [{ of: 'with claims', to: 'without claims', atLeast: 0.8 }],
      close: () => ingest.close(),
    };
  },
};
