import { spawn } from 'node:child_process';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import postgres from 'postgres';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { canConnect } from '../harness/can-connect.ts';
import {
  countRows,
  createEmbeddedCase,
  type EmbeddedCase,
  guardOf,
  killProcess,
  ownedPostgres,
  pidOf,
  writeRows,
} from '../harness/embedded-case.ts';
import { eventually } from '../harness/eventually.ts';
import { descendantsOf, isRunning, killAll } from '../harness/processes.ts';

// Each test makes at least one whole server; on a busy machine that takes its time.
vi.setConfig({ testTimeout: 120_000 });

let here: EmbeddedCase;

beforeEach(async () => {
  here = await createEmbeddedCase();
});

describe('after a crash of the collector', () => {
  test('Postgres ends by itself, and the next start has what was committed', async () => {
    const owner = here.spawnOwner();
    const { url, pid } = await ownedPostgres(owner);
    await writeRows(url);
    await killProcess(owner);
    await eventually('the Postgres without an owner has ended', async () => !(await isRunning(pid)));
    expect(await countRows((await here.start()).url)).toBe(1_000);
  });

  test('the next start stops a Postgres that still runs, and has what was committed', async () => {
    const owner = here.spawnOwner();
    const { url, pid } = await ownedPostgres(owner);
    await writeRows(url);
    await killAll([await guardOf(owner)]);
    await killProcess(owner);
    expect(await isRunning(pid)).toBe(true);
    const next = await here.start();
    expect(await isRunning(pid)).toBe(false);
    expect(next.pid).not.toBe(pid);
    expect(await countRows(next.url)).toBe(1_000);
    expect(here.logged).toContain('warn: stopping the Postgres that a crashed collector left behind');
  });

  test('and of Postgres with it the next start recovers what was committed', async () => {
    const owner = here.spawnOwner();
    const { url, pid } = await ownedPostgres(owner);
    await writeRows(url);
    await killAll([await guardOf(owner), pidOf(owner), pid, ...(await descendantsOf(pid))]);
    expect(await countRows((await here.start()).url)).toBe(1_000);
  });

  test('a process that got the process id of the old Postgres is let alone', async () => {
    const first = await here.start();
    await writeRows(first.url);
    await first.stop();
    const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
      // Postgres minds only processes of its own user.
      ...(process.geteuid?.() === 0 && { uid: (await stat(join(here.dataDir, 'data'))).uid }),
      cwd: '/',
      stdio: 'ignore',
    });
    onTestFinished(() => killProcess(bystander));
    const pidFile = join(here.dataDir, 'data', 'postmaster.pid');
    await writeFile(
      pidFile,
      `${bystander.pid}\n${join(here.dataDir, 'data')}\n1700000000\n5432\n\n127.0.0.1\n\nready   \n`,
    );
    expect(await countRows((await here.start()).url)).toBe(1_000);
    expect(bystander.exitCode ?? bystander.signalCode).toBe(null);
  });
});

describe('while it runs', () => {
  test('a Postgres that ends by itself is started again on its port, and open pools find it', async () => {
    const server = await here.start();
    await writeRows(server.url);
    const sql = postgres(server.url, { max: 3, backoff: () => 0.1, onnotice: () => {} });
    onTestFinished(() => sql.end({ timeout: 1 }));
    await sql`select 1`;
    const before = server.pid;
    for (let crash = 1; crash <= 2; crash += 1) {
      const present = server.pid;
      process.kill(present, 'SIGKILL');
      await eventually('another Postgres answers', async () => {
        const [row] = await sql`select count(*)::integer as n from kept`.catch(() => []);
        return server.pid !== present && row?.['n'] === 1_000;
      });
    }
    expect(server.pid).not.toBe(before);
    expect(
      here.logged.filter((line) => line.startsWith('error: the embedded Postgres ended by itself')),
    ).toHaveLength(2);
  });

  test('it can be stopped while it is being started again', async () => {
    const server = await here.start();
    const before = server.pid;
    process.kill(before, 'SIGKILL');
    await eventually('the end was noticed', () => here.logged.some((line) => line.startsWith('error:')));
    await server.stop();
    expect(await canConnect('127.0.0.1', server.port)).toBe(false);
    await expect(here.start()).resolves.toMatchObject({ dataDir: here.dataDir });
  });

  test('a Postgres that does not react is stopped all the same', async () => {
    const server = await here.start();
    process.kill(server.pid, 'SIGSTOP');
    await server.stop();
    expect(await isRunning(server.pid)).toBe(false);
  });
});
