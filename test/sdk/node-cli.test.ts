import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { StoredEvent } from '@tidemark/core/wire';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { type Proxy, startProxy } from '../harness/proxy.ts';
import { type ServedCollector, serveCollector, testKeys } from '../harness/served-collector.ts';
import { runCli as runHere } from '../../sdk-node/src/cli/cli.ts';
import type { Output } from '../../sdk-node/src/cli/output.ts';
import { type CliRun, runCli } from './run-cli.ts';

let database: TestDatabase;
let collector: ServedCollector;
let proxy: Proxy;
let folder: string;
let stream: string;
let streams = 0;
let environment: Record<string, string>;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url);
  proxy = await startProxy(() => ({ kind: 'fine' }));
  aim();
  environment = {
    TIDEMARK_URL: proxy.url,
    TIDEMARK_READ_KEY: testKeys.read,
    TIDEMARK_WRITE_KEY: testKeys.write,
  };
});

afterAll(async () => {
  await proxy.close();
  await collector.stop();
  await database.drop();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-'));
  const before = process.cwd();
  process.chdir(folder);
  onTestFinished(async () => {
    process.chdir(before);
    await rm(folder, { recursive: true });
  });
  aim();
  stream = `cli${(streams += 1)}`;
  await put(stream, 200 * 365 * 86_400_000);
});

function aim(): void {
  proxy.aim(Number(new URL(collector.url).port));
}

const admin = { authorization: `Bearer ${testKeys.admin}`, 'content-type': 'application/json' };

async function put(name: string, watermarkDelayMs: number): Promise<Response> {
  const body = JSON.stringify({ watermarkDelayMs });
  return collector.app.request(`/v1/streams/${name}`, { method: 'PUT', headers: admin, body });
}

/** In a process of its own, which can be killed. */
function run(args: readonly string[]): CliRun {
  return runCli(args, { environment, cwd: folder });
}

/** Runs to its end, in this process: there are many, and each process takes its time to start. */
async function ran(args: readonly string[], input: string | Buffer = '') {
  const written = { stdout: '', stderr: '' };
  const output = (name: keyof typeof written): Output => ({
    isTerminal: false,
    columns: 80,
    write(text) {
      written[name] += text;
      return Promise.resolve();
    },
  });
  const code = await runHere(args, {
    stdin: Readable.from([Buffer.from(input)]),
    stdout: output('stdout'),
    stderr: output('stderr'),
    environment,
    stop: new AbortController().signal,
  });
  return { code, ...written };
}

const parse = (lines: string) =>
  lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as StoredEvent);

/** Makes all readable that was imported. */
async function stored(): Promise<StoredEvent[]> {
  expect((await put(stream, 0)).status).toBe(200);
  const events: StoredEvent[] = [];
  await eventually('the watermark has passed', async () => {
    const response = await collector.app.request(`/v1/streams/${stream}/events?limit=10000`, {
      headers: admin,
    });
    const page = (await response.json()) as { events: StoredEvent[]; watermark: string };
    events.splice(0, events.length, ...page.events);
    return page.watermark > '2026';
  });
  return events;
}

const line = (number: number, more: object = {}) =>
  JSON.stringify({
    name: 'n',
    occurredAt: new Date(1_577_836_800_000 + number * 1_000).toISOString(),
    props: { number, ...more },
  });
const lines = (count: number) => Array.from({ length: count }, (_, number) => `${line(number)}\n`).join('');

describe('tidemark import', () => {
  test('G2 G6 imports history in its order; the same again, moved and compressed, stores nothing', async () => {
    const file = join(folder, 'events.ndjson');
    const shuffled = Array.from({ length: 2_000 }, (_, index) => (index * 7) % 2_000);
    await writeFile(file, shuffled.map((number) => `${line(number)}\n`).join(''));
    const first = await ran(['import', stream, file]);
    expect([first.code, first.stdout, first.stderr]).toEqual([
      0,
      '2000 stored, 0 were there already, 0 bad\n',
      '',
    ]);

    await writeFile(
      join(folder, 'other.ndjson.gz'),
      gzipSync(`${await readFile(file, 'utf8')}${line(2_000)}\n`),
    );
    const again = await ran(['import', stream, 'other.ndjson.gz', '--batch', '77']);
    expect([again.code, again.stdout]).toEqual([0, '1 stored, 2000 were there already, 0 bad\n']);

    const events = await stored();
    expect(events.map(({ props }) => props?.['number'])).toEqual(
      Array.from({ length: 2_001 }, (_, index) => index),
    );
    expect(events[5]).toMatchObject({ occurredAt: '2020-01-01T00:00:05.000000Z', late: false });
    expect(new Set(events.map(({ timeQuality }) => timeQuality))).toEqual(new Set(['implausible']));
  });

  test('G4 sets aside what is no event, with its line, and takes all the rest', async () => {
    const long = JSON.stringify({ name: 'n', props: { text: 'x'.repeat(70_000) } });
    const input = `${line(0)}\nnot json\n\n${line(1)}\n{"no":"name"}\n${long}\n`;
    await writeFile(
      join(folder, 'mixed.ndjson'),
      Buffer.concat([Buffer.from(input), Buffer.from([0xff, 0x0a])]),
    );
    const imported = await ran(['import', stream, 'mixed.ndjson', '--bad', 'bad.ndjson']);
    expect([imported.code, imported.stdout]).toEqual([
      3,
      '2 stored, 0 were there already, 4 bad: see bad.ndjson\n',
    ]);
    const bad = (await readFile(join(folder, 'bad.ndjson'), 'utf8'))
      .trim()
      .split('\n')
      .map(
        (one) =>
          JSON.parse(one) as { line: number; reason: string; text?: string; base64?: string; start: number },
      )
      .toSorted((a, b) => a.line - b.line);
    expect(bad.map((one) => one.line)).toEqual([2, 5, 6, 7]);
    expect(bad[0]).toMatchObject({
      text: 'not json',
      reason: 'not a JSON object',
      start: line(0).length + 1,
    });
    expect(bad[1]).toMatchObject({ text: '{"no":"name"}' });
    expect(bad[2]?.reason).toContain('event_too_large');
    expect(bad[2]?.text).toBe(long);
    expect(bad[3]).toMatchObject({ base64: '/w==', reason: 'not UTF-8' });
  });

  test('takes CSV from a pipe, with columns for name, time, key and id', async () => {
    const csv =
      '\uFEFFid;what;when;who;amount\r\n1;sold;2026-01-01 10:00;anna;12.50\r\n2;"sold; twice";1767261660;bert;7\r\n3;sold;never;cleo;1\r\n';
    const args = ['import', stream, '-', '--format', 'csv', '--delimiter', ';', '--name-field', 'what'];
    const imported = await ran(
      [...args, '--time-field', 'when', '--key-field', 'who', '--id-field', 'id'],
      csv,
    );
    expect([imported.code, imported.stdout]).toEqual([
      3,
      '2 stored, 0 were there already, 1 bad: see import-bad.ndjson\n',
    ]);
    expect(await stored()).toMatchObject([
      {
        id: '1',
        name: 'sold',
        key: 'anna',
        occurredAt: '2026-01-01T10:00:00.000000Z',
        props: { amount: 12.5 },
      },
      { id: '2', name: 'sold; twice', key: 'bert', occurredAt: '2026-01-01T10:01:00.000000Z' },
    ]);
  });

  test('takes logs of web servers, of two files with the same lines both', async () => {
    const log = (host: string) =>
      `${host} - - [01/Jan/2026:10:00:00 +0000] "GET /${host} HTTP/1.1" 200 5 "-" "curl"\n` +
      '9.9.9.9 - - [01/Jan/2026:10:00:01 +0000] "GET / HTTP/1.1" 200 5 "-" "curl"\n'.repeat(2);
    await writeFile(join(folder, 'a.log'), log('1.1.1.1'));
    await writeFile(join(folder, 'b.log.gz'), gzipSync(log('2.2.2.2')));
    const imported = await ran([
      'import',
      stream,
      'a.log',
      'b.log.gz',
      '--format',
      'combined',
      '--key-field',
      'host',
    ]);
    expect([imported.code, imported.stdout]).toEqual([0, '6 stored, 0 were there already, 0 bad\n']);
    expect((await stored()).map(({ key }) => key).toSorted()).toEqual([
      '1.1.1.1',
      '2.2.2.2',
      ...Array.from({ length: 4 }, () => '9.9.9.9'),
    ]);
  });

  test('G2 G4 that is killed again and again ends with every record stored once', async () => {
    const count = 8_000;
    const file = join(folder, 'many.ndjson');
    await writeFile(file, lines(count));
    const args = ['import', stream, file, '--state', 'state.json', '--batch', '100'];
    let kills = 0;
    for (const target of [300, 2_000, 4_000]) {
      const cli = run(args);
      await eventually(
        'some is stored',
        async () => {
          const [row] = await collector.database.control<{ n: number }[]>`
            select count(*)::integer as n from tidemark.events e join tidemark.streams s using (stream_id)
            where s.name = ${stream}`;
          return (row?.n ?? 0) >= target;
        },
        30_000,
      );
      cli.child.kill('SIGKILL');
      if ((await cli.code) === 'SIGKILL') kills += 1;
    }
    expect(kills).toBeGreaterThan(0);
    // What a lost network leaves unknown is sent again as well.
    const last = run(args);
    await eventually('it works', () => last.child.exitCode === null && collector.logged.length > 0);
    proxy.aim(undefined);
    proxy.cut();
    await eventually('it waits', () => last.stderr().includes('waiting for it'), 20_000);
    aim();
    expect(await last.code).toBe(0);
    const skipped = await ran(args);
    expect(skipped.stdout).toBe('0 stored, 0 were there already, 0 bad\n');
    const [row] = await collector.database.control<{ n: number; d: number }[]>`
      select count(*)::integer as n, count(distinct (props->>'number'))::integer as d
      from tidemark.events e join tidemark.streams s using (stream_id) where s.name = ${stream}`;
    expect(row).toEqual({ n: count, d: count });

    await appendFile(file, `${line(count)}\n`);
    expect((await ran(args)).stdout).toBe('1 stored, 0 were there already, 0 bad\n');
  });

  test('G5 takes a file of any size in little memory', async () => {
    // 90 MB in one record, and half a million small ones.
    const file = join(folder, 'large.ndjson');
    await writeFile(file, `{"name":"${'x'.repeat(90_000_000)}"}\n${line(1)}\n`);
    const measure = `process.on('exit', () => console.error('rss', process.resourceUsage().maxRSS))`;
    const options = {
      environment: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(measure)}` },
    };
    const cli = runCli(['import', stream, file, '--url', proxy.url, '--key', testKeys.write], {
      ...options,
      cwd: folder,
    });
    expect(await cli.code).toBe(3);
    expect(cli.stdout()).toBe('1 stored, 0 were there already, 1 bad: see import-bad.ndjson\n');
    expect((await stat(join(folder, 'import-bad.ndjson'))).size).toBeLessThan(2_000_000);
    const peaks = [...cli.stderr().matchAll(/rss (\d+)/g)].map(([, kilobytes]) => Number(kilobytes));
    expect(Math.max(...peaks)).toBeLessThan(250_000);
  });

  test('says what is wrong with its arguments, and what the collector refuses', async () => {
    const none = await ran(['import', stream, 'none.ndjson']);
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('none.ndjson')]);
    const unnamed = await ran(['import', stream, 'x.csv']);
    expect([unnamed.code, unnamed.stderr]).toEqual([2, expect.stringContaining('--name')]);
    expect((await ran(['import', stream, 'x.txt'])).stderr).toContain('--format is needed');
    expect((await ran(['import'])).code).toBe(2);
    await writeFile(join(folder, 'cut.ndjson.gz'), gzipSync(lines(10)).subarray(0, 60));
    const cut = await ran(['import', stream, 'cut.ndjson.gz']);
    expect([cut.code, cut.stderr]).toEqual([1, expect.stringContaining('unexpected end of file')]);
    await writeFile(join(folder, 'x.ndjson'), lines(1));
    const refused = await ran(['import', stream, 'x.ndjson', '--key', testKeys.read]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('forbidden')]);
  });
});

describe('tidemark read', () => {
  async function fill(count: number): Promise<void> {
    expect((await ran(['import', stream, '-', '--format', 'ndjson'], lines(count))).code).toBe(0);
    await stored();
  }

  test('writes events as they are stored, and stops quietly when nobody reads on', async () => {
    const big = '{"name":"n","occurredAt":"2020-01-01T00:00:00Z","props":{"big":12345678901234567890.10}}\n';
    expect((await ran(['import', stream, '-', '--format', 'ndjson'], big + lines(3_000))).code).toBe(0);
    await stored();
    const all = await ran(['read', stream]);
    expect([all.code, all.stderr, parse(all.stdout).length]).toEqual([0, '', 3_001]);
    expect(all.stdout).toContain('12345678901234567890.10');

    const main = fileURLToPath(new URL('../../sdk-node/src/cli/main.ts', import.meta.url));
    const tsx = import.meta.resolve('tsx');
    const pipe = `set -o pipefail; "$0" --import "$1" "$2" read ${stream} --page 100 --url ${proxy.url} --key ${testKeys.read} | head -n 2`;
    const head = await promisify(execFile)('bash', ['-c', pipe, process.execPath, tsx, main]);
    expect([parse(head.stdout).length, head.stderr]).toEqual([2, '']);
  });

  test('G6 into a file writes each event exactly once, wherever it was stopped', async () => {
    await fill(400);
    const args = [
      'read',
      stream,
      '--cursor-file',
      'at',
      '--output',
      'out.ndjson',
      '--page',
      '10',
      '--follow',
    ];
    for (const kilobytes of [10, 40, 80]) {
      const cli = run(args);
      const size = () =>
        stat(join(folder, 'out.ndjson')).then(
          (file) => file.size,
          () => 0,
        );
      await eventually('some is written', async () => (await size()) > kilobytes * 1_000, 20_000);
      cli.child.kill('SIGKILL');
      await cli.code;
      // As if the last page had been cut off in its middle.
      await appendFile(join(folder, 'out.ndjson'), '{"id":"half');
    }
    await writeFile(join(folder, 'more.ndjson'), lines(410).split('\n').slice(400).join('\n'));
    expect((await ran(['import', stream, 'more.ndjson', '--source', 'more'])).code).toBe(0);
    const last = run(args);
    const written = async () => (await readFile(join(folder, 'out.ndjson'), 'utf8')).split('\n').length - 1;
    await eventually('all is written', async () => (await written()) >= 410, 20_000);
    last.child.kill('SIGINT');
    expect(await last.code).toBe(130);
    const numbers = parse(await readFile(join(folder, 'out.ndjson'), 'utf8')).map(
      ({ props }) => props?.['number'],
    );
    expect(numbers).toEqual(Array.from({ length: 410 }, (_, index) => index));

    const other = await ran(['read', 'another', '--cursor-file', 'at']);
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('belongs to the stream')]);
    await rename(join(folder, 'out.ndjson'), join(folder, 'gone.ndjson'));
    const gone = await ran(args);
    expect([gone.code, gone.stderr]).toEqual([2, expect.stringContaining('shorter')]);
  });

  test('ends at a time, and begins at one', async () => {
    await fill(100);
    const part = await ran([
      'read',
      stream,
      '--from',
      '2020-01-01T00:00:10Z',
      '--until',
      '2020-01-01T00:00:20Z',
    ]);
    expect(parse(part.stdout).map(({ props }) => props?.['number'])).toEqual([
      10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    ]);
    const wrong = await ran(['read', stream, '--from', 'soon']);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('invalid_parameter')]);
  });
});

describe('tidemark tail, streams and consumers', () => {
  test('tail shows what comes, over a collector that restarts', async () => {
    await put(stream, 0);
    const cli = run(['tail', stream, '--format', 'pretty', '--from', 'earliest']);
    const send = (name: string, key: string) =>
      collector.app.request('/v1/events', {
        method: 'POST',
        headers: admin,
        body: JSON.stringify({ events: [{ id: name, stream, name, key, props: { a: '\u001B[31m' } }] }),
      });
    await send('first', 'k\u001B[2J');
    await eventually('it is shown', () => cli.stdout().includes('first'), 20_000);
    proxy.aim(undefined);
    proxy.cut();
    await collector.stop();
    collector = await serveCollector(database.url);
    await send('second', 'k');
    aim();
    await eventually('it is shown', () => cli.stdout().includes('second'), 20_000);
    expect(cli.stdout()).toMatch(
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} first k\uFFFD\[2J(?: late by \d+ ms)? \{"a":"\\u001b\[31m"\}\n/,
    );
    cli.child.kill('SIGTERM');
    expect(await cli.code).toBe(143);
  });

  test('streams and consumers are listed, shown, moved and deleted', async () => {
    const list = await ran(['streams', '--json']);
    expect(list.stdout.split('\n').map((one) => one && JSON.parse(one).stream)).toContain(stream);
    expect((await ran(['streams', stream])).stdout).toMatch(new RegExp(`^STREAM +WATERMARK.*\\n${stream} `));
    const missing = await ran(['streams', 'nowhere']);
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('stream_not_found')]);

    const path = `/v1/streams/${stream}/consumers/billing`;
    await collector.app.request(path, { method: 'PUT', headers: admin, body: '{"shards":2}' });
    expect((await ran(['consumers', stream])).stdout).toMatch(/^CONSUMER .*\nbilling +2 +0 /);
    const before = JSON.parse((await ran(['consumers', stream, 'billing', '--json'])).stdout);
    const wrong = await ran(['consumers', stream, 'billing', '--seek', '2026-01-01']);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('invalid_parameter')]);
    const sought = await ran(['consumers', stream, 'billing', '--seek', '2026-01-01T00:00:00Z', '--json']);
    expect(JSON.parse(sought.stdout).shards[0].cursor > before.shards[0].cursor).toBe(true);
    expect((await ran(['consumers', stream, 'billing', '--delete'])).code).toBe(0);
    expect((await ran(['consumers', stream])).stdout.split('\n')).toHaveLength(2);
  });

  test('help is there, and mistakes end with 2', async () => {
    const help = await ran(['--help']);
    expect([help.code, help.stderr]).toEqual([0, '']);
    for (const command of ['tail', 'read', 'windows', 'import', 'consumers', 'streams']) {
      expect(help.stdout).toContain(`  ${command}`);
      const own = await ran([command, '--help']);
      expect([own.code, own.stdout]).toEqual([0, expect.stringContaining('Examples:')]);
    }
    expect((await ran([])).code).toBe(2);
    expect((await ran(['tial'])).stderr).toContain('there is no command "tial"');
    const unknown = await ran(['tail', 's', '--colour']);
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining("'--colour'")]);
  });
});
