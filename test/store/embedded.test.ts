import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { startEmbeddedPostgres } from '../../collector/src/store/embedded.ts';
import { findPostgresBinaries } from '../../collector/src/store/embedded-binaries.ts';
import { canConnect } from '../harness/can-connect.ts';
import {
  countRows,
  createEmbeddedCase,
  type EmbeddedCase,
  firstLine,
  killProcess,
  query,
  writeRows,
} from '../harness/embedded-case.ts';
import { eventually } from '../harness/eventually.ts';
import { isRunning } from '../harness/processes.ts';

// Each test makes at least one whole server; on a busy machine that takes its time.
vi.setConfig({ testTimeout: 120_000 });

let here: EmbeddedCase;

beforeEach(async () => {
  here = await createEmbeddedCase();
});

describe('the first start', () => {
  test('makes the database tidemark in UTF-8, compared byte by byte, with checksums and durable commits', async () => {
    const { url } = await here.start();
    expect(await settingsOf(url)).toEqual({
      database: 'tidemark',
      encoding: 'UTF8',
      collate: 'C',
      checksums: 'on',
      fsync: 'on',
      commit: 'on',
      full_pages: 'on',
      listen: '127.0.0.1',
      sockets: '',
      zone: 'UTC',
    });
  });

  test('keeps a random password in a file that only the owner can read', async () => {
    const { url } = await here.start();
    const file = join(here.dataDir, 'password');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(new URL(url).password).toBe((await readFile(file, 'utf8')).trim());
    expect(new URL(url).password.length).toBeGreaterThanOrEqual(32);
    const guess = new URL(url);
    guess.password = 'guess';
    await expect(query(guess.href, (sql) => sql`select 1`)).rejects.toMatchObject({ code: '28P01' });
  });

  test('listens on 127.0.0.1 and on no other address of this machine', async () => {
    const { port } = await here.start();
    const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    const others = own
      .filter(({ address, scopeid }) => address !== '127.0.0.1' && !scopeid)
      .map(({ address }) => address);
    if (process.platform === 'linux') others.push('127.0.0.2');
    expect(await canConnect('127.0.0.1', port)).toBe(true);
    for (const address of others) {
      expect([address, await canConnect(address, port)]).toEqual([address, false]);
    }
  });

  test('ends when it is told to, and leaves the folder free for the next one', async () => {
    const stopping = new AbortController();
    const first = startEmbeddedPostgres({ dataDir: here.dataDir, log: here.log, signal: stopping.signal });
    await eventually('initdb is at work', async () => (await here.unfinished()).length > 0);
    stopping.abort();
    await expect(first).rejects.toThrow('aborted');
    const { url } = await here.start();
    expect(await query(url, (sql) => sql`select 1 as n`)).toEqual([{ n: 1 }]);
    expect(await here.unfinished()).toEqual([]);
  });

  test('is made again after a crash in the middle of it', async () => {
    const owner = here.spawnOwner();
    await eventually('initdb has written files', async () => {
      const [name] = await here.unfinished();
      return (
        name !== undefined &&
        (await stat(join(here.dataDir, name, 'data', 'base')).catch(() => false)) !== false
      );
    });
    await killProcess(owner);
    expect(await here.unfinished()).not.toEqual([]);
    const { url } = await here.start();
    expect(await query(url, (sql) => sql`select 1 as n`)).toEqual([{ n: 1 }]);
    expect(await here.unfinished()).toEqual([]);
  });
});

describe('a later start', () => {
  test('finds the data and keeps the password', async () => {
    const first = await here.start();
    await writeRows(first.url);
    await first.stop();
    expect(await isRunning(first.pid)).toBe(false);
    const second = await here.start();
    expect(new URL(second.url).password).toBe(new URL(first.url).password);
    expect(await countRows(second.url)).toBe(1_000);
  });

  test('is refused while another collector uses the folder, and the refusal names its process', async () => {
    const { url } = await here.start();
    await expect(here.start()).rejects.toMatchObject({
      code: 'data_dir_in_use',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    const other = here.spawnOwner();
    expect(await firstLine(other)).toMatchObject({ code: 'data_dir_in_use' });
    expect(await query(url, (sql) => sql`select 1 as n`)).toEqual([{ n: 1 }]);
  });

  test('refuses data of another major version of Postgres', async () => {
    await mkdir(join(here.dataDir, 'data'), { recursive: true });
    await writeFile(join(here.dataDir, 'data', 'PG_VERSION'), '14\n');
    await writeFile(join(here.dataDir, 'password'), 'secret\n');
    await expect(here.start()).rejects.toMatchObject({ code: 'data_version_mismatch' });
  });

  test('says so when the password of the data is gone, instead of making another', async () => {
    await mkdir(join(here.dataDir, 'data'), { recursive: true });
    await writeFile(join(here.dataDir, 'data', 'PG_VERSION'), '18\n');
    await expect(here.start()).rejects.toMatchObject({ code: 'password_missing' });
  });

  test('says so when the folder cannot be made', async () => {
    await writeFile(join(here.folder, 'file'), '');
    const dataDir = join(here.folder, 'file', 'postgres');
    await expect(startEmbeddedPostgres({ dataDir, log: here.log })).rejects.toMatchObject({
      code: 'data_dir_unusable',
    });
  });
});

describe.runIf(process.geteuid?.() === 0)('started by root', () => {
  test('runs as somebody else, who owns the data and nothing around it', async () => {
    const { pid } = await here.start();
    const owner = (await stat(join(here.dataDir, 'data'))).uid;
    expect(owner).not.toBe(0);
    expect(await uidsOf(pid)).toEqual(new Set([owner]));
    expect((await stat(here.dataDir)).uid).toBe(0);
  });

  test('can keep the data below a folder that only root may enter', async () => {
    await chmod(here.folder, 0o700);
    const { pid, url } = await here.start();
    expect(await uidsOf(pid)).not.toContain(0);
    await writeRows(url);
    expect(await countRows(url)).toBe(1_000);
  });
});

describe('the programs', () => {
  test('are there for known platforms only', async () => {
    await expect(findPostgresBinaries('sunos-x64')).rejects.toMatchObject({ code: 'unsupported_platform' });
  });

  test('are missed with a clear error where their package was not installed', async () => {
    const other = process.platform === 'win32' ? 'linux-x64' : 'win32-x64';
    await expect(findPostgresBinaries(other)).rejects.toMatchObject({ code: 'binaries_missing' });
  });
});

async function settingsOf(url: string): Promise<unknown> {
  const [row] = await query(
    url,
    (sql) => sql`
      select current_database() as database, pg_encoding_to_char(encoding) as encoding, datcollate as collate,
        current_setting('data_checksums') as checksums, current_setting('fsync') as fsync,
        current_setting('synchronous_commit') as commit, current_setting('full_page_writes') as full_pages,
        current_setting('listen_addresses') as listen, current_setting('unix_socket_directories') as sockets,
        current_setting('timezone') as zone
      from pg_database where datname = current_database()`,
  );
  return row;
}

async function uidsOf(pid: number): Promise<Set<number>> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return new Set((/^Uid:\t(.*)$/m.exec(text)?.[1] ?? '').split('\t').map(Number));
}
