import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { limits } from '@tidemark/core/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configuration } from '../../collector/src/config.ts';
import { type CollectorProcess, startCollectorProcess } from '../harness/collector-process.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('.', import.meta.url));
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const blocks = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, language = '', code = '']) => ({
  language,
  code,
}));
const codeOf = (language: string, word: string): string => {
  const found = blocks.filter((block) => block.language === language && block.code.includes(word));
  if (found.length !== 1) throw new Error(`${found.length} ${language} blocks of the README have ${word}`);
  return found[0]?.code ?? '';
};

let database: TestDatabase;
let collector: CollectorProcess;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await startCollectorProcess({ environment: { DATABASE_URL: database.url } });
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

const environment = () => ({
  ...process.env,
  TIDEMARK_WRITE_KEY: collector.keys.write,
  TIDEMARK_READ_KEY: collector.keys.read,
  TIDEMARK_ADMIN_KEY: collector.keys.admin,
});

const here = (code: string): string => code.replaceAll('http://127.0.0.1:8787', collector.url);

async function shell(code: string): Promise<Record<string, unknown>> {
  const { stdout } = await run('bash', ['-euc', here(code)], { env: environment() });
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function node(code: string): Promise<string> {
  const parameters = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', here(code)];
  const { stdout } = await run(process.execPath, parameters, { cwd: folder, env: environment() });
  return stdout;
}

describe('the code blocks of the README', () => {
  test('the curl lines send an event and read it back', async () => {
    expect(await shell(codeOf('sh', 'order-1001'))).toMatchObject({ accepted: 1, durability: 'committed' });
    const page = await shell(codeOf('sh', '/events?limit=100&wait=30'));
    expect(page['events']).toMatchObject([
      { id: 'order-1001', name: 'order.placed', props: { total: 12.5 } },
    ]);
    const shown = JSON.parse(codeOf('json', 'nextCursor')) as { events: object[] };
    expect(Object.keys(page).sort()).toEqual(Object.keys(shown).sort());
    expect((page['events'] as object[])[0]).toMatchObject(
      Object.fromEntries(Object.keys(shown.events[0] ?? {}).map((name) => [name, expect.anything()])),
    );
  });

  test('the windows are complete ones, by name', async () => {
    // Nobody wants to wait here for a minute to be complete.
    const page = await shell(codeOf('sh', '/windows?').replace('size=60s', 'size=1s'));
    const windows = page['windows'] as { panes?: object[] }[];
    expect(windows.flatMap(({ panes = [] }) => panes)).toContainEqual(
      expect.objectContaining({ group: 'order.placed', timing: 'late' }),
    );
  });

  test('the PUT makes a stream that takes 30 years of history', async () => {
    const stream = await shell(codeOf('sh', '-X PUT'));
    expect(stream).toMatchObject({ stream: 'flights', watermarkDelayMs: 946_080_000_000 });
  });

  test('the Node programs send an event and read one', async () => {
    await node(codeOf('ts', 'tidemark.track('));
    expect(await node(codeOf('ts', 'tidemark.read('))).toContain('order.placed');
  });

  test('the commands exist', () => {
    const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...readme.matchAll(/npx pnpm (\w+)/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => scripts[name ?? ''] === undefined)).toEqual([]);
  });
});

/** The rows of the table whose heading row begins with this cell, as cells. */
function tableOf(firstHeading: string): string[][] {
  const [, rows = ''] =
    new RegExp(`^\\| ${firstHeading} \\|[^\\n]*\\n\\|[-|]*\\n((?:\\|.*\\n)*)`, 'm').exec(readme) ?? [];
  return rows
    .trim()
    .split('\n')
    .map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
}

describe('the tables of the README', () => {
  test('the configuration is the one of the code', () => {
    expect(tableOf('variable')).toEqual(
      configuration.map((entry) => [entry.name, entry.meaning.replaceAll('`', ''), entry.default ?? '']),
    );
  });

  test('the limits are the ones of the code', () => {
    const rows = tableOf('what').filter((row) => row.length === 3);
    expect(rows.map(([, value, variable]) => [variable, Number(value?.replaceAll(',', ''))])).toEqual(
      Object.values(limits).map((limit) => [limit.variable, limit.default]),
    );
  });
});
