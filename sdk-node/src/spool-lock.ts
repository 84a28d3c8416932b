import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const heldName = 'held';

/**
 * Who holds a folder listens on a socket; the kernel closes it with the process or the worker thread, however that ended. A file with a
 * process number in it could not say that: in a container the next process often has the same number.
 *
 * A lock that cannot be had is done without. Two clients may then send the same events, which are stored once.
 */
export function holdFolder(folder: string): { release(): Promise<void> } {
  const server = createServer((socket) => socket.destroy());
  server.on('error', () => {});
  server.listen({ path: socketPath(folder), exclusive: true });
  server.unref();
  return {
    release: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
}

/** Whether somebody holds the folder now. */
export function isHeld(folder: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: socketPath(folder) });
    const end = (held: boolean): void => {
      socket.destroy();
      resolve(held);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** A socket's path has about a hundred bytes at most: a long one is replaced by its hash in the folder for temporary files. */
function socketPath(folder: string): string {
  const hash = createHash('sha256').update(folder).digest('hex').slice(0, 24);
  if (process.platform === 'win32') return `\\\\.\\pipe\\tidemark-${hash}`;
  const path = join(folder, heldName);
  return Buffer.byteLength(path) < 100 ? path : join(tmpdir(), `tidemark-${hash}`);
}
