import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { measureEvents } from './cpu.ts';
import type { Figure } from './figure.ts';
import { createIngest } from './ingest.ts';

/** Half as many as into Postgres: of what sixteen send at once a part would be refused, as all of it may wait for the disk. */
const connections = 8;
/** Nobody listens there. */
const nowhere = 'postgres://user@127.0.0.1:1/away';
const spoolBytes = 8 * 2 ** 30;
const warmUpRounds = 2;

/** What the spool costs: while Postgres is there, and while it is away. */
export const spool: Figure = {
  name: 'spool',
  title: 'ingest of batches into the spool, against ingest into Postgres',
  async prepare(bench) {
    const plain = await createIngest(bench);
    const ready = await createIngest(bench, { environment: spoolIn(bench, 'ready') });
    const away = await bench.startCollector(nowhere, spoolIn(bench, 'away'));
    const { load, generator } = bench;
    const order = { connections, batches: load.bodies.length, eventsPerBatch: load.eventsPerBatch };

    async function intoSpool() {
      await bench.giveLoad();
      const meters = { collector: away.cpu, generator: generator.cpu };
      const send = () => generator.send({ ...order, url: away.url, key: away.keys.write });
      const { measured } = await measureEvents(load.events, meters, send);
      return measured;
    }

    for (let round = 0; round < warmUpRounds; round += 1) await intoSpool();
    return {
      cases: [
        { name: 'committed', measure: () => plain.overHttp('as it is') },
        { name: 'committed, with a spool at hand', measure: () => ready.overHttp('as it is') },
        { name: 'spooled', measure: intoSpool },
      ],
      ratios: [
        { of: 'committed, with a spool at hand', to: 'committed' },
        { of: 'spooled', to: 'committed' },
      ],
      async close() {
        await away.stop();
        await ready.close();
        await plain.close();
      },
    };
  },
};

function spoolIn({ folder }: Bench, name: string): Readonly<Record<string, string>> {
  return { TIDEMARK_SPOOL_DIR: join(folder, name), TIDEMARK_LIMIT_SPOOL_BYTES: String(spoolBytes) };
}
