import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { beforeEach, expect, test } from 'vitest';
import { followPostgresOutput, type PostgresOutput } from '../../collector/src/store/embedded-log.ts';

let stderr: PassThrough;
let output: PostgresOutput;
let logged: string[];

beforeEach(() => {
  stderr = new PassThrough();
  logged = [];
  const note = (level: string) => (fields: object, message: string) =>
    void logged.push(`${level} ${'lines' in fields ? `${String(fields.lines)} ` : ''}${message}`);
  output = followPostgresOutput(stderr, {
    debug: note('debug'),
    info: note('info'),
    warn: note('warn'),
    error: note('error'),
  });
  output.expectTalk(false);
});

test('each line is passed on at its own level, what explains it at the same', async () => {
  await write('LOG:  one\nWARNING:  two\nHINT:  of two\nPANIC:  three\n\tmore of three\nERROR:  four\n');
  expect(logged).toEqual([
    'info LOG:  one',
    'warn WARNING:  two',
    'warn HINT:  of two',
    'error PANIC:  three',
    'error \tmore of three',
    'debug ERROR:  four',
  ]);
});

test('lines may come in pieces, and the last one without an end', async () => {
  await write('WARN', 'ING:  one\nLOG:  t', 'wo');
  expect(logged).toEqual(['warn WARNING:  one', 'info LOG:  two']);
});

test('what is said while starting and stopping is no news', async () => {
  output.expectTalk(true);
  await write('FATAL:  the database system is starting up\n');
  expect(logged).toEqual(['debug FATAL:  the database system is starting up']);
});

test('long lines are cut, and lines without end do not pile up', async () => {
  await write(`LOG:  ${'x'.repeat(10_000)}\n`, 'y'.repeat(1_000_000));
  expect(logged.map((line) => line.length)).toEqual([2_005, 2_005]);
});

test('a flood is counted instead of passed on, and its last lines are kept', async () => {
  await write(Array.from({ length: 1_000 }, (_, index) => `LOG:  line ${index}\n`).join(''));
  expect(logged).toHaveLength(21);
  expect(logged.at(-1)).toBe('warn 980 postgres wrote more lines than are passed on');
  expect(output.tail().split('\n')).toHaveLength(20);
  expect(output.tail()).toContain('LOG:  line 999');
});

async function write(...chunks: string[]): Promise<void> {
  for (const chunk of chunks) stderr.write(chunk);
  stderr.end();
  await once(stderr, 'close');
}
