import postgres from 'postgres';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { startPrivatePostgres } from '../harness/private-postgres.ts';
import { isRunning } from '../harness/processes.ts';
import { findSystemPostgres } from '../harness/system-postgres.ts';

// Each test makes at least one whole server; on a busy machine that takes its time.
vi.setConfig({ testTimeout: 120_000 });

const installed = await findSystemPostgres();

describe.each(['embedded', 'system'] as const)('a private Postgres (%s)', (server) => {
  test.skipIf(server === 'system' && installed === undefined)(
    'comes back on its port with what it had committed after all its processes were killed',
    async () => {
      const database = await startPrivatePostgres({ server });
      onTestFinished(database.stop);
      expect(database.program).toMatch(new RegExp(`^${server} \\d+\\.\\d+$`));
      const sql = postgres(database.url, { onnotice: () => {} });
      onTestFinished(() => sql.end({ timeout: 1 }));
      await sql`create table kept (n integer)`;
      await sql`insert into kept select generate_series(1, 1000)`;
      const before = database.pid;

      await database.kill();
      expect(await isRunning(before)).toBe(false);
      await expect(sql`select 1`).rejects.toThrow();
      await database.restart();

      expect(database.pid).not.toBe(before);
      expect([...(await sql`select count(*)::integer as n from kept`)]).toEqual([{ n: 1000 }]);
    },
  );
});
