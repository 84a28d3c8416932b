import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';

const run = promisify(execFile);
const main = fileURLToPath(new URL('../../collector/src/main.ts', import.meta.url));

let dataDir: string;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tidemark-start-'));
});

afterAll(() => rm(dataDir, { recursive: true, force: true }));

interface Started {
  readonly output: () => string;
  readonly exited: Promise<number | null>;
  readonly stop: () => void;
}

/** Starts the collector as `pnpm start` does, with nothing configured but where its data is. */
function start(environment: Record<string, string> = {}): Started {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(TIDEMARK_|DATABASE_URL$|PORT$|HOST$)/.test(name),
  );
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main], {
    env: { ...Object.fromEntries(inherited), TIDEMARK_DATA_DIR: dataDir, PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  return { output: () => text, exited, stop: () => child.kill('SIGTERM') };
}

const ready = (started: Started) =>
  eventually('the collector has printed its lines', () => started.output().includes('/events?wait='), 60_000);

describe('a start', () => {
  test('the first one prints keys and two curl lines that work, a later one keeps data and keys', async () => {
    const first = start();
    await ready(first);
    const lines = first.output().split('\n');
    const keys = lines.filter((line) => /^ {11}(write|read|admin) /.test(line));
    expect(keys).toHaveLength(3);
    const [send = '', read = ''] = lines.filter((line) => line.startsWith('  curl '));
    expect(JSON.parse((await run('bash', ['-euc', send])).stdout)).toMatchObject({ accepted: 1 });
    const page = JSON.parse((await run('bash', ['-euc', read])).stdout) as { events: { name: string }[] };
    expect(page.events).toMatchObject([{ name: 'hello.world', props: { first: true } }]);
    first.stop();
    expect(await first.exited).toBe(0);

    const second = start();
    await ready(second);
    expect(second.output()).not.toContain(keys[0]?.trim().split(/\s+/)[1] ?? '?');
    const [address = ''] = /http:\/\/127\.0\.0\.1:\d+/.exec(second.output()) ?? [];
    const again = read.replace(/http:\/\/127\.0\.0\.1:\d+/, address);
    expect(JSON.parse((await run('bash', ['-euc', again])).stdout)).toMatchObject({ events: page.events });
    const refused = start();
    expect(await refused.exited).toBe(1);
    expect(refused.output()).toMatch(/in use|another collector/i);
    second.stop();
    expect(await second.exited).toBe(0);
  });

  test('mistakes in the configuration are listed all at once', async () => {
    const started = start({ PORT: 'http', TIDEMARK_MAX_STREMS: '5', TIDEMARK_WRITE_KEY: 'short' });
    expect(await started.exited).toBe(1);
    for (const name of ['PORT', 'TIDEMARK_MAX_STREMS', 'TIDEMARK_WRITE_KEY'])
      expect(started.output()).toContain(name);
    expect(started.output()).not.toContain('"short"');
  });

  test('a port that is taken is named', async () => {
    const first = start();
    await ready(first);
    const [, port = ''] = /127\.0\.0\.1:(\d+)/.exec(first.output()) ?? [];
    const otherDir = await mkdtemp(join(tmpdir(), 'tidemark-start-'));
    try {
      const second = start({ PORT: port, TIDEMARK_DATA_DIR: otherDir });
      expect(await second.exited).toBe(1);
      expect(second.output()).toContain(`Port ${port} of 127.0.0.1 is taken`);
    } finally {
      first.stop();
      await first.exited;
      await rm(otherDir, { recursive: true, force: true });
    }
  });

  test('a database that is not there is waited for, and the signal ends the wait', async () => {
    const started = start({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' });
    await eventually(
      'it says that it waits',
      () => started.output().includes('Postgres cannot be reached'),
      20_000,
    );
    started.stop();
    expect(await started.exited).toBe(0);
  });
});
