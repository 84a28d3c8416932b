// Events that outlive their process: real processes that are really killed, and files that are looked into.

import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClientOptions, createClient, type Report } from '@tidemark/node';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { type Ending, type Program, runProgram } from './run-program.ts';
import { type SmallCollector, startSmallCollector } from './small-collector.ts';

let collector: SmallCollector;
let spoolDir: string;

beforeEach(async () => {
  collector = await startSmallCollector();
  spoolDir = await mkdtemp(join(tmpdir(), 'tidemark-spool-'));
});

afterEach(async () => {
  await collector.close();
  await rm(spoolDir, { recursive: true, force: true });
});

const optionsOf = (options: Partial<ClientOptions>) => ({
  url: collector.url,
  key: 'k',
  spoolDir,
  lingerMs: 20,
  retryDelayMs: 20,
  retryDelayMsMax: 100,
  ...options,
});

function run(ending: Ending, events: number, options: Partial<ClientOptions> = {}): Program {
  const program = runProgram(ending, { events, options: optionsOf(options) });
  onTestFinished(() => program.kill('SIGKILL'));
  return program;
}

function createTestClient(options: Partial<ClientOptions> = {}) {
  const client = createClient(optionsOf(options));
  onTestFinished(() => client.close({ timeoutMs: 100 }));
  return client;
}

async function filesOf(): Promise<string[]> {
  const names = await readdir(spoolDir, { recursive: true });
  return names.filter((name) => name.endsWith('.ndjson')).map((name) => join(spoolDir, name));
}

async function linesOnDisk(): Promise<string[]> {
  const texts = (await filesOf()).map((file) => readFile(file, 'utf8').catch(() => ''));
  return (await Promise.all(texts)).flatMap((text) =>
    text.split('\n').filter((line) => line.startsWith('-') || line.includes('{')),
  );
}

/** Nothing of any run is left: folders go with their last event. */
const empty = () => eventually('the spool is empty', async () => (await readdir(spoolDir)).length === 0);

const distinct = (): number => new Set(collector.stored.map(({ id }) => id)).size;

describe('a spool', () => {
  test('is not written to while events arrive', async () => {
    const client = createTestClient();
    for (let index = 0; index < 100; index++) client.track('fine', { index });
    expect(await client.flush()).toEqual({ pending: 0 });
    expect(await filesOf()).toEqual([]);
    await client.close();
    await empty();
  });

  test('has events a second after they were tracked, also while a request with them is under way', async () => {
    collector.fault = () => ({ kind: 'hang' });
    const client = createTestClient();
    for (let index = 0; index < 50; index++) client.track('slow', { index });
    await eventually('they are on disk', async () => (await linesOnDisk()).length === 50);
    await client.close({ timeoutMs: 0 });
    expect(client.counters()).toMatchObject({ queued: 50, spooled: 50, pending: 0, dropped: {} });
  });

  test('G4 a program that was killed with SIGKILL loses nothing that was tracked a second before, and nothing is stored twice', async () => {
    await collector.down();
    const killed = run('wait', 500);
    await eventually('all are on disk', async () => (await linesOnDisk()).length >= 500, 20_000);
    killed.kill('SIGKILL');
    expect(await killed.ended).toMatchObject({ code: 'SIGKILL' });
    await collector.up();

    const next = run('wait', 1);
    await eventually('they have arrived', () => distinct() === 501, 20_000);
    next.kill('SIGTERM');
    await next.ended;
    expect(collector.stored).toHaveLength(501);
    await empty();
  });

  test('G4 a program that ends by SIGTERM while the collector is down leaves everything to the next', async () => {
    await collector.down();
    const first = run('wait', 1_000, { exitMs: 300 });
    await first.ready();
    first.kill('SIGTERM');
    const { code, ms } = await first.ended;
    expect(code).toBe('SIGTERM');
    expect(ms).toBeLessThan(10_000);
    expect(await linesOnDisk()).toHaveLength(1_000);
    await collector.up();

    expect(await run('close', 0).ended).toMatchObject({ code: 0 });
    // What does not arrive within a close is left again.
    const client = createTestClient();
    await eventually('they have arrived', () => distinct() === 1_000);
    expect(await client.flush()).toEqual({ pending: 0 });
    await client.close();
    await empty();
  });

  test('G4 process.exit() leaves everything to the next', async () => {
    await collector.down();
    expect(await run('exit', 200).ended).toMatchObject({ code: 3 });
    expect(await linesOnDisk()).toHaveLength(200);
    await collector.up();
    createTestClient();
    await eventually('they have arrived', () => distinct() === 200);
  });

  test('is shared by several programs, of which each takes over only what nobody holds', async () => {
    await collector.down();
    const programs = [run('wait', 100), run('wait', 100)];
    await eventually('both have written', async () => (await linesOnDisk()).length >= 200, 20_000);
    const dead = run('exit', 100);
    await dead.ended;
    const third = createTestClient();
    await eventually('the third took over what the dead one left', () => third.counters().pending === 100);
    expect(third.counters().queued).toBe(100);
    await collector.up();
    await eventually('all have arrived', () => distinct() === 300);
    for (const program of programs) program.kill('SIGTERM');
    await Promise.all(programs.map(({ ended }) => ended));
    await third.close();
    expect(collector.duplicates()).toBe(0);
    await empty();
  });

  test('whose file was torn by a crash, or is not ours, gives what can be read', async () => {
    await collector.down();
    await run('exit', 3).ended;
    const [file = ''] = await filesOf();
    await appendFile(file, 'nonsense\n9 1767225600000 - {"name":"torn","props":{"te');
    await writeFile(join(spoolDir, 'notes.txt'), 'not a folder');
    await collector.up();
    const client = createTestClient();
    await eventually('the whole ones arrive', () => distinct() === 3);
    expect(await client.flush()).toEqual({ pending: 0 });
    expect(client.counters()).toMatchObject({ queued: 3, sent: 3 });
  });

  test('G5 is bounded: what has no room in it is only in memory, which is told', async () => {
    await collector.down();
    const reports: Report[] = [];
    const client = createTestClient({ spoolBytesMax: 20_000, onReport: (report) => reports.push(report) });
    for (let index = 0; index < 300; index++) client.track('too much', { index, filling: 'x'.repeat(100) });
    await eventually('it is told', () => reports.some(({ kind }) => kind === 'unsaved'));
    const bytes = (await Promise.all((await filesOf()).map((file) => readFile(file)))).map(
      ({ length }) => length,
    );
    expect(bytes.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(20_000);
    await client.close({ timeoutMs: 0 });
    const { queued, spooled, dropped } = client.counters();
    expect(queued).toBe(300);
    expect(spooled).toBeGreaterThan(0);
    expect(spooled + (dropped.closed ?? 0)).toBe(300);
  });

  test('gives room back when events have arrived, however many there were before', async () => {
    const client = createTestClient({ spoolBytesMax: 40_000 });
    for (let round = 0; round < 4; round++) {
      await collector.down();
      for (let index = 0; index < 100; index++) client.track('round', { round, index });
      await eventually('they are on disk', async () => (await linesOnDisk()).length >= 100);
      await collector.up();
      expect(await client.flush()).toEqual({ pending: 0 });
      await eventually('the files are gone', async () => (await filesOf()).length === 0);
    }
    expect(collector.stored).toHaveLength(400);
  });

  test('knows which events were sent before', async () => {
    let isBad = true;
    collector.fault = () => (isBad ? { kind: 'cut', stored: false } : undefined);
    const client = createTestClient();
    client.track('once', {}, { id: 'a' });
    await eventually('it was tried and saved', async () =>
      (await linesOnDisk()).some((line) => /^\d+ \d+ \d+ \{/.test(line)),
    );
    isBad = false;
    expect(await client.flush()).toEqual({ pending: 0 });
    expect(collector.stored).toMatchObject([{ id: 'a' }]);
  });
});
