import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bundle, bundleCollector } from '../harness/bundle.ts';
import { type CollectorProcess, startCollectorProcess } from '../harness/collector-process.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { makeEnterableFolder } from '../harness/enterable-folder.ts';
import { serveCollector, type ServedCollector } from '../harness/served-collector.ts';

/** The package with the programs of the embedded Postgres is found from the sources alone; the bundle starts faster. */
const sources = [
  '--import',
  import.meta.resolve('tsx'),
  fileURLToPath(new URL('../../collector/src/main.ts', import.meta.url)),
];
let bundle: Bundle;

beforeAll(async () => {
  bundle = await bundleCollector();
});

afterAll(() => bundle.remove());

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `tidemark-collector …` as an operator does. */
function run(environment: Record<string, string>, ...args: string[]): Promise<Ended> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(TIDEMARK_|DATABASE_URL$)/.test(name));
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [...(environment['DATABASE_URL'] === undefined ? sources : [bundle.main]), ...args],
      { env: { ...Object.fromEntries(inherited), ...environment } },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

async function answer<T>(environment: Record<string, string>, ...args: string[]): Promise<T[]> {
  const { code, stdout, stderr } = await run(environment, ...args, '--json');
  expect([code, stderr]).toEqual([0, '']);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

interface Made {
  readonly id: string;
  readonly key: string;
}

describe('keys on a database that collectors share', () => {
  let database: TestDatabase;
  let collector: ServedCollector;

  beforeAll(async () => {
    database = await createTestDatabase();
    collector = await serveCollector(database.url);
  });

  afterAll(async () => {
    await collector.stop();
    await database.drop();
  });

  test('G12 are made, listed without what is secret, and revoked', async () => {
    const environment = { DATABASE_URL: database.url };
    const wanted = ['--role', 'write', '--stream', 'web.*', '--events-per-second', '1000'];
    const [made] = await answer<Made>(environment, 'keys', 'create', ...wanted);
    const { id = '', key = '' } = made ?? {};
    const status = async (): Promise<number> => {
      const response = await collector.app.request('/v1/events', {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: '{"events":[{"id":"1","name":"seen","stream":"web.shop"}]}',
      });
      return response.status;
    };
    expect(await status()).toBe(200);

    const plain = await run(environment, 'keys', 'list');
    expect(plain.stdout).toMatch(new RegExp(`^${id} {2}write .* streams web\\.\\*, 1000 events/s$`, 'm'));
    const listed = await answer<object>(environment, 'keys', 'list');
    expect(listed).toContainEqual(
      expect.objectContaining({ id, role: 'write', streams: ['web.*'], revokedAt: null }),
    );
    expect(plain.stdout + JSON.stringify(listed)).not.toContain(key.slice(-20));

    const revoked = await run(environment, 'keys', 'revoke', id);
    expect([revoked.code, revoked.stdout]).toEqual([0, expect.stringMatching(`^${id} was revoked at `)]);
    await eventually('the collector refuses it', async () => (await status()) === 401);
    expect((await run(environment, 'keys', 'list')).stdout).toMatch(new RegExp(`^${id} .* revoked 2`, 'm'));
  });

  test('that do not exist, databases that are not there or not set up, and mistakes are told in a line', async () => {
    const unmigrated = await createTestDatabase({ migrate: false });
    try {
      const cases: readonly [Record<string, string>, string[], number, RegExp][] = [
        [
          { DATABASE_URL: database.url },
          ['keys', 'revoke', 'nonsense'],
          1,
          /^There is no key with the id "nonsense"/,
        ],
        [{ DATABASE_URL: unmigrated.url }, ['keys', 'list'], 1, /^This database has no tables of Tidemark/],
        [
          { DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:1/none' },
          ['keys', 'list'],
          1,
          /^Postgres cannot be reached \(ECONNREFUSED/,
        ],
        [
          { TIDEMARK_DATA_DIR: '/nowhere/at/all' },
          ['keys', 'list'],
          1,
          /holds no data: start the collector once/,
        ],
        [
          { DATABASE_URL: database.url, TIDEMARK_NONSENSE: '1' },
          ['keys', 'list'],
          1,
          /TIDEMARK_NONSENSE is not a variable/,
        ],
        [{ DATABASE_URL: database.url }, ['keys', 'create'], 2, /^--role is missing/],
      ];
      for (const [environment, args, code, message] of cases) {
        const ended = await run(environment, ...args);
        expect([ended.code, ended.stdout, ended.stderr]).toEqual([code, '', expect.stringMatching(message)]);
        expect(ended.stderr).not.toContain('secret');
      }
    } finally {
      await unmigrated.drop();
    }
  });
});

describe('keys on an embedded Postgres', () => {
  let folder: string;
  let collector: CollectorProcess;

  beforeAll(async () => {
    folder = await makeEnterableFolder('tidemark-keys-');
    collector = await startCollectorProcess({ environment: { TIDEMARK_DATA_DIR: join(folder, 'data') } });
  });

  afterAll(async () => {
    await collector.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('G12 can be managed while its collector runs, and while it does not', async () => {
    const environment = { TIDEMARK_DATA_DIR: join(folder, 'data') };
    const [made] = await answer<Made>(environment, 'keys', 'create', '--role', 'read');
    const response = await fetch(`${collector.url}/v1/streams`, {
      headers: { authorization: `Bearer ${made?.key ?? ''}` },
    });
    expect(response.status).toBe(200);
    await collector.stop();
    expect(await answer(environment, 'keys', 'revoke', made?.id ?? '')).toEqual([
      { id: made?.id, revokedAt: expect.any(String) },
    ]);
    expect(await answer(environment, 'keys', 'list')).toContainEqual(
      expect.objectContaining({ id: made?.id, revokedAt: expect.any(String) }),
    );
  });
});
