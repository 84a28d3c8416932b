import { once } from 'node:events';
import createTransport from '@tidemark/node/pino';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bundleProgram } from '../harness/bundle.ts';
import { eventually } from '../harness/eventually.ts';
import { type SmallCollector, startSmallCollector } from './small-collector.ts';

let collector: SmallCollector;

beforeEach(async () => {
  collector = await startSmallCollector();
});

afterEach(() => collector.close());

describe('the pino transport', () => {
  test('makes an event of each record, that happened when it was logged', async () => {
    const transport = createTransport({ url: collector.url, key: 'k', stream: 'logs' });
    const log = pino({ base: { service: 'shop' } }, transport);
    log.info({ order: 7 }, 'größe');
    log.error(new Error('no'));
    transport.write(
      'not a record\n{"time":"2026-01-31T12:00:00Z","msg":"by another clock"}\n{"time":1,"msg":"to',
    );
    transport.end('rn"}\n');
    await once(transport, 'close');
    expect(collector.stored).toMatchObject([
      { name: 'log', stream: 'logs', props: { level: 30, service: 'shop', order: 7, msg: 'größe' } },
      { name: 'log', props: { level: 50, err: { message: 'no' } } },
      { name: 'log', props: { msg: 'not a record' } },
      { name: 'log', occurredAt: '2026-01-31T12:00:00Z', props: { msg: 'by another clock' } },
      { name: 'log', occurredAt: '1970-01-01T00:00:00.001Z', props: { msg: 'torn' } },
    ]);
    expect(Date.parse(collector.stored[0]?.occurredAt ?? '')).toBe(collector.stored[0]?.props?.['time']);
  });

  test('works where pino runs it: in a worker thread', async () => {
    const bundle = await bundleProgram('sdk-node/src/pino.ts');
    try {
      const log = pino({
        transport: { target: bundle.main, options: { url: collector.url, key: 'k', lingerMs: 10 } },
      });
      for (let index = 0; index < 50; index++) log.info({ index }, 'in a worker');
      await eventually('all have arrived', () => collector.stored.length === 50);
      expect(collector.stored.map(({ props }) => props?.['index'])).toEqual(
        Array.from({ length: 50 }, (_, index) => index),
      );
    } finally {
      await bundle.remove();
    }
  });
});
