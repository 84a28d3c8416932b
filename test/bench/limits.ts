import { defaultLimits } from '@tidemark/core/wire';
import { decodeBatch } from '../../collector/src/ingest/decode.ts';
import type { Bench } from './bench.ts';
import { measureEvents, ownMeter } from './cpu.ts';
import type { Case, Figure } from './figure.ts';
import { createStoreCases } from './limits-store.ts';
import type { Load } from './load.ts';
import { type OtherServer, startBareNode, startBareServer } from './other-server.ts';

/** How fast each part of the way would be if it were the only one. */
export const limits: Figure = {
  name: 'limits',
  title: 'what the parts of ingest could do at most, each alone',
  async prepare(bench) {
    const { eventsPerBatch } = bench.load;
    const node = await startBareNode(eventsPerBatch);
    const hono = await startBareServer(eventsPerBatch);
    const store = await createStoreCases(bench);
    return {
      cases: [
        bareCase('server of Node that reads the body', node, bench),
        bareCase('Hono route that reads the body', hono, bench),
        parseCase(bench.load),
        decodeCase(bench.load),
        ...store.cases,
      ],
      notes: store.notes,
      async close() {
        await node.stop();
        await hono.stop();
        await store.close();
      },
    };
  },
};

function bareCase(name: string, server: OtherServer, { generator, load }: Bench): Case {
  const { eventsPerBatch, bodies } = load;
  const order = { url: server.url, key: 'none', connections: 16, batches: bodies.length, eventsPerBatch };
  const meters = { server: server.cpu, generator: generator.cpu };
  return {
    name,
    async measure() {
      return (await measureEvents(load.events, meters, () => generator.send(order))).measured;
    },
  };
}

function parseCase({ bodies, events }: Load): Case {
  return timed('JSON.parse', events, () => {
    let found = 0;
    for (const body of bodies)
      found += (JSON.parse(body.toString()) as { events: readonly unknown[] }).events.length;
    return found;
  });
}

function decodeCase({ bodies, events }: Load): Case {
  const context = { limits: defaultLimits, defaultStream: 'default' };
  return timed('decode', events, () => {
    let found = 0;
    for (const body of bodies) {
      const decoded = decodeBatch(body, context);
      found += decoded.ok ? decoded.batch.events.length : 0;
    }
    return found;
  });
}

/** Work of this process alone that says how many events it has done. */
function timed(name: string, events: number, work: () => number): Case {
  return {
    name,
    async measure() {
      const { result, measured } = await measureEvents(events, { 'this process': ownMeter }, work);
      if (result !== events) throw new Error(`${name}: ${result} events instead of ${events}`);
      return measured;
    },
  };
}
