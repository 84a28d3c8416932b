import { connect, type Socket } from 'node:net';

/** Where a server may be, as the driver says it. */
export interface Address {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** A socket in the file system, in place of host and port. */
  readonly path: string | false | undefined;
}

/** One host has so long to accept, milliseconds. */
const connectMsMax = 5_000;

/**
 * Connects to a server: to the first of its hosts, from the one at `first` on, that accepts. Rejects with the last one's error.
 *
 * The driver would make its own socket, and it ends one only politely, in waiting for the other side. A server that is stopped never answers:
 * its sockets would pile up. Whoever makes them can destroy them.
 */
export async function openSocket({ host, port, path }: Address, first: number): Promise<Socket> {
  if (typeof path === 'string') return open({ path });
  let failure: unknown;
  for (let tried = 0; tried < host.length; tried += 1) {
    const at = (first + tried) % host.length;
    const place = { host: host[at] ?? '', port: port[at] ?? port[0] ?? 5432 };
    try {
      // The driver looks here for the name that a certificate must be for.
      return Object.assign(await open(place), place);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function open(
  place: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...place, noDelay: true });
    const tooLong = setTimeout(() => {
      socket.destroy(
        Object.assign(new Error('Postgres did not accept the connection in time'), {
          code: 'CONNECT_TIMEOUT',
        }),
      );
    }, connectMsMax);
    const onError = (error: Error): void => {
      clearTimeout(tooLong);
      reject(error);
    };
    socket.once('error', onError);
    socket.once('connect', () => {
      clearTimeout(tooLong);
      socket.off('error', onError);
      resolve(socket);
    });
  });
}
