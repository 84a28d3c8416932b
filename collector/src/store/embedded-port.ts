import { createServer } from 'node:net';
import { EmbeddedPostgresError } from './embedded-error.ts';

/** A port on 127.0.0.1 that nobody listens on at this moment. Throws `port_unavailable`. */
export async function freePort(): Promise<number> {
  const port = await listenOnce(0);
  if (port === undefined) {
    throw new EmbeddedPostgresError('port_unavailable', 'no port on 127.0.0.1 is free');
  }
  return port;
}

/** Whether one could listen there at this moment. */
export async function isFreePort(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== undefined;
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((settle) => {
    const server = createServer();
    server.once('error', () => settle(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => settle(typeof address === 'object' ? address?.port : undefined));
    });
  });
}
