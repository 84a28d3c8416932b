import type { Writable } from 'node:stream';

/** Where lines go. Whoever reads them sets the pace. */
export interface Output {
  /** Resolves when there is room for more. Rejects with PipeClosed when nobody reads any more. */
  write(text: string): Promise<void>;
  /** A terminal: people read there. */
  readonly isTerminal: boolean;
  readonly columns: number;
}

/** What follows in the pipe has ended, as `head` does: nothing is wrong, and there is nothing more to do. */
export class PipeClosed extends Error {
  override readonly name = 'PipeClosed';
}

export function createOutput(
  stream: Writable & { readonly isTTY?: boolean; readonly columns?: number },
  onClosed: () => void,
): Output {
  let closed: Error | undefined;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    closed ??= error.code === 'EPIPE' ? new PipeClosed() : error;
    onClosed();
  });
  return {
    isTerminal: stream.isTTY === true,
    get columns() {
      return stream.columns ?? 80;
    },
    write(text) {
      if (closed !== undefined) return Promise.reject(closed);
      return new Promise((resolve, reject) => {
        stream.write(text, (error: NodeJS.ErrnoException | null | undefined) => {
          if (error) reject(error.code === 'EPIPE' ? new PipeClosed() : error);
          else resolve();
        });
      });
    },
  };
}
