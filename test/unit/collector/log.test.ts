import { expect, test } from 'vitest';
import { createLog } from '../../../collector/src/log.ts';

function createLogged(level: 'info' | 'debug' = 'info') {
  const lines: string[] = [];
  return { log: createLog({ level, destination: { write: (line) => lines.push(line) } }), lines };
}

test('a line is JSON with its level as a word and its time as people write it', () => {
  const { log, lines } = createLogged();
  log.info({ port: 8787 }, 'listening');
  log.debug('not shown');
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { level: 'info', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/), port: 8787, msg: 'listening' },
  ]);
});

test('G12 a key is not logged, wherever it stands', () => {
  const { log, lines } = createLogged();
  log.info({ headers: { authorization: 'Bearer hunter2' } }, 'a');
  log.info({ a: { b: { c: { Authorization: 'Custom "hunter2\\" hunter2"' } } } }, 'b');
  log.info({ url: '/v1/events?key=hunter2&sentAt=1' }, 'c');
  log.info('GET /v1/pixel.gif?t=1&key=hunter2 failed');
  log.info('they sent authorization: Basic hunter2= and tm_write_hunter2-_x');
  log.info({ url: 'postgres://me:hunter2@db:5432/x' }, 'd');
  log.error({ err: new Error('Invalid URL /v1/events?key=hunter2') }, 'e');
  log.info({ path: '/beacon?writeKey=hunter2', other: '/v1/events%3Fa=b%26key%3Dhunter2' }, 'f');
  expect(lines).toHaveLength(8);
  for (const line of lines) {
    expect(line).not.toContain('hunter2');
    expect(() => JSON.parse(line)).not.toThrow();
  }
  expect(JSON.parse(lines[2] ?? '')).toMatchObject({ url: '/v1/events?key=[hidden]&sentAt=1' });
});

test('an error is logged with what it says, not with the statement and values it carries', () => {
  const { log, lines } = createLogged();
  const postgres = Object.assign(new Error('value too long'), {
    code: '22001',
    detail: 'Failing row contains (hunter2)',
    parameters: ['hunter2'],
  });
  const drizzle = Object.assign(
    new Error('Failed query: insert into events values ($1)\nparams: hunter2', { cause: postgres }),
    { query: 'insert into events values ($1)', params: ['hunter2'] },
  );
  log.error({ err: drizzle }, 'failed');
  const [line = ''] = lines;
  expect(line).not.toContain('hunter2');
  expect(JSON.parse(line).err).toMatchObject({
    type: 'Error',
    message: 'Failed query: insert into events values ($1)',
    stack: expect.arrayContaining([expect.stringMatching(/^at /)]),
    cause: { code: '22001', message: 'value too long' },
  });
});
