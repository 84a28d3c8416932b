import { constants, mkdirSync } from 'node:fs';
import { type FileHandle, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** What the spool does with a disk. */
export interface SpoolFolder {
  /** Names of the files in it. */
  list(): Promise<readonly string[]>;
  /** Opens a file to read and write, and makes it where it is missing. */
  open(name: string): Promise<SpoolFile>;
  remove(name: string): Promise<void>;
  /** Durable when it resolves: which files there are. */
  sync(): Promise<void>;
}

export interface SpoolFile {
  size(): Promise<number>;
  /** All of it, or an error. */
  write(bytes: Buffer, position: number): Promise<void>;
  /** Fewer bytes than asked for only at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  truncate(size: number): Promise<void>;
  /** Durable when it resolves: what was written, and how long the file is. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A folder on disk, made where it is missing. Only the collector's own user may look into it: it holds events. */
export function openSpoolFolder(path: string): SpoolFolder {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return {
    list: () => readdir(path),
    // Not "r+", which wants the file to be there, and not "a", which writes at the end whatever the position is.
    open: async (name) => openFile(await open(join(path, name), flags, 0o600)),
    remove: (name) => unlink(join(path, name)),
    async sync() {
      // A folder cannot be opened on Windows, and need not be there.
      if (process.platform === 'win32') return;
      const folder = await open(path, 'r');
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    },
  };
}

const flags = constants.O_RDWR | constants.O_CREAT;

function openFile(handle: FileHandle): SpoolFile {
  return {
    size: async () => (await handle.stat()).size,
    async write(bytes, position) {
      for (let written = 0; written < bytes.length; ) {
        const { bytesWritten } = await handle.write(
          bytes,
          written,
          bytes.length - written,
          position + written,
        );
        written += bytesWritten;
      }
    },
    async read(position, length) {
      const bytes = Buffer.allocUnsafeSlow(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    },
    truncate: (size) => handle.truncate(size),
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}
