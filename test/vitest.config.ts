import { defineConfig } from 'vitest/config';
import { findSystemPostgres } from './harness/system-postgres.ts';

// Everything runs on the embedded Postgres, or on the one that TIDEMARK_TEST_DATABASE_URL names. What rests on Postgres' own ways
// runs once more on the machine's, which may be older, if it has one.
const named = process.env['TIDEMARK_TEST_DATABASE_URL'];
const system = named === undefined ? await findSystemPostgres() : undefined;

const onEveryPostgres = [
  'store/{append,storable,upkeep,migrations,epochs,page-plan,advance,advance-clock,advance-delay,advance-fence}.test.ts',
  'contract/{events,streams,stream-events,consumers,dead-letters}.test.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000,
    projects: [
      project(named === undefined ? 'embedded' : 'named', ['**/*.test.ts']),
      ...(system === undefined ? [] : [project('system', onEveryPostgres)]),
    ],
  },
});

/** Each has a server of its own. */
function project(name: string, include: string[]) {
  return { extends: true as const, test: { name, include, globalSetup: ['harness/global-setup.ts'] } };
}
