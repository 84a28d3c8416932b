// The same without Hono: a server of Node's own that reads each body and answers a constant.

import { once } from 'node:events';
import { createServer } from 'node:http';

process.on('message', (accepted: number) => {
  const answer = JSON.stringify({ accepted });
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
      response.end(answer);
    });
  });
  server.listen(0, '127.0.0.1', () => process.send?.(server.address()));
});
process.on('disconnect', () => process.exit());
await once(process, 'disconnect');
