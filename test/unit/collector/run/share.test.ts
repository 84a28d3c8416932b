import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readConfig } from '../../../../collector/src/config.ts';
import { shareOf } from '../../../../collector/src/run/share.ts';

function configOf(environment: Record<string, string>) {
  const read = readConfig(environment);
  if (!read.ok) throw new Error(read.mistakes.join('\n'));
  return read.config;
}

test('G5 the parts of all workers are no more than what is configured', () => {
  const config = configOf({
    TIDEMARK_WORKERS: '3',
    TIDEMARK_SPOOL_DIR: 'spool',
    TIDEMARK_LIMIT_CONNECTIONS: '1000',
    TIDEMARK_LIMIT_OPEN_READS: '100',
  });
  const parts = [1, 2, 3].map((number) => shareOf(config, number));
  for (const limit of [
    'inflightBytesMax',
    'inflightRequestsMax',
    'openReadsMax',
    'connectionsMax',
    'spoolBytesMax',
  ] as const) {
    const sum = parts.reduce((sum, part) => sum + part[limit], 0);
    expect([limit, sum]).toEqual([limit, config[limit] - (config[limit] % 3)]);
  }
  expect(parts.map(({ spoolDirectory }) => spoolDirectory)).toEqual(
    [1, 2, 3].map((number) => join('spool', `worker-${number}`)),
  );
  const [one] = parts;
  expect(one).toMatchObject({
    queueAgeMsMax: config.queueAgeMsMax,
    writeConnections: config.writeConnections,
    limits: config.limits,
  });
});

test('a worker without a spool has none, and a limit is never shared out to nothing', () => {
  const part = shareOf(configOf({ TIDEMARK_WORKERS: '4', TIDEMARK_LIMIT_OPEN_READS: '2' }), 1);
  expect(part).toMatchObject({ spoolDirectory: undefined, openReadsMax: 1 });
});
