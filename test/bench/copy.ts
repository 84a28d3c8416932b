import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import postgres from 'postgres';
import { type CpuMeter, processMeter } from './cpu.ts';

/** Copies files into tables. */
export interface Copier {
  /** What copies: psql, or the driver where there is none. */
  readonly program: string;
  /** Undefined where it is this process. */
  readonly cpu: CpuMeter | undefined;
  /** Each in a transaction of its own, one after the other; comes back when the last is committed. */
  copy(parts: readonly CopyPart[]): Promise<void>;
  /** Takes all rows of a query from the server, and throws them away. */
  take(query: string): Promise<void>;
  close(): Promise<void>;
}

interface CopyPart {
  /** With its columns: `schema.table (a, b)`. */
  readonly table: string;
  /** In Postgres's text format. */
  readonly file: string;
}

/** `\copy` of one running psql, so that neither its start nor its connection counts; else COPY through the driver. */
export async function createCopier(url: string): Promise<Copier> {
  const version = await psqlVersion();
  return version === undefined ? createDriverCopier(url) : createPsqlCopier(url, version);
}

/** Writes what a query finds to a file that can be copied back. On a connection of its own: the driver leaves it paused. */
export async function exportRows(url: string, query: string, file: string): Promise<void> {
  const sql = postgres(url, { max: 1, connection: { application_name: 'tidemark bench export' } });
  await pipeline(await sql.unsafe(`copy (${query}) to stdout`).readable(), createWriteStream(file));
  await sql.end({ timeout: 0 });
}

async function psqlVersion(): Promise<string | undefined> {
  const child = spawn('psql', ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const code = await new Promise((resolve) =>
    child.on('error', () => resolve(undefined)).on('close', resolve),
  );
  return code === 0 ? /[\d.]+/.exec(text)?.[0] : undefined;
}

async function createPsqlCopier(url: string, version: string): Promise<Copier> {
  const child = spawn('psql', ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', url], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaints = (complaints + chunk).slice(-2_000);
  });
  const ended = once(child, 'exit');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();

  async function run(commands: readonly string[]): Promise<void> {
    child.stdin.write([...commands, '\\echo done', ''].join('\n'));
    const { value } = await lines.next();
    if (value !== 'done') throw new Error(`psql failed: ${complaints}`);
  }

  await run([]);
  return {
    program: `psql ${version}`,
    cpu: processMeter(child.pid ?? 0),
    copy: (parts) => run(parts.map(({ table, file }) => `\\copy ${table} from '${file}'`)),
    take: (query) => run([`\\copy (${query}) to '/dev/null'`]),
    async close() {
      child.stdin.end();
      await ended;
    },
  };
}

function createDriverCopier(url: string): Copier {
  const sql = postgres(url, { max: 1, connection: { application_name: 'tidemark bench copy' } });
  return {
    program: 'the driver, as there is no psql',
    cpu: undefined,
    async copy(parts) {
      for (const { table, file } of parts) {
        await pipeline(createReadStream(file), await sql.unsafe(`copy ${table} from stdin`).writable());
      }
    },
    async take(query) {
      for await (const _ of await sql.unsafe(`copy (${query}) to stdout`).readable());
    },
    close: () => sql.end(),
  };
}
