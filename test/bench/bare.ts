// A server of the same kind as the collector's that does nothing: it reads each body and answers a constant.

import { once } from 'node:events';
import { createAdaptorServer } from '@hono/node-server';
import { paths } from '@tidemark/core/wire';
import { Hono } from 'hono';

process.on('message', (accepted: number) => {
  const app = new Hono().post(paths.events, async (context) => {
    await context.req.arrayBuffer();
    return context.json({ accepted });
  });
  const server = createAdaptorServer({ fetch: app.fetch });
  server.listen(0, '127.0.0.1', () => process.send?.(server.address()));
});
process.on('disconnect', () => process.exit());
await once(process, 'disconnect');
