import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Sql } from '../../collector/src/store/database.ts';
import { createStandbyFirst, type StandbyFirst } from '../../collector/src/store/standby.ts';
import { eventually } from '../harness/eventually.ts';
import { createStoreCase, type StoreCase } from '../harness/store-case.ts';

// Two pools on one database stand for two servers: what counts here is which of them is asked.
describe('a standby and its primary', () => {
  let store: StoreCase;
  let reads: StandbyFirst;
  let nowMs: number;
  const told: string[] = [];

  beforeEach(async () => {
    store = await createStoreCase();
    nowMs = 0;
    told.length = 0;
    const standby = store.connect(2, { application_name: 'standby' });
    const primary = store.connect(2, { application_name: 'primary' });
    reads = createStandbyFirst(standby, primary, {
      monotonicMs: () => nowMs,
      onLag: (seconds) => told.push(`lag ${seconds > 60 ? 'much' : 'little'}`),
      onAway: () => told.push('away'),
      onBack: () => told.push('back'),
    });
  });
  afterEach(() => store.close());

  const asked = async (sql: Pick<Sql, 'unsafe'>): Promise<string> => {
    const [row] = await sql.unsafe<[{ name: string }]>(`select current_setting('application_name') as name`);
    return row.name;
  };
  const measure = async (secondsAhead: bigint, expected: string): Promise<void> => {
    const [fence] = await store.sql<[{ floor: bigint }]>`select published as floor from tidemark.fence`;
    nowMs += 1_000;
    reads.measure(fence.floor + secondsAhead * 1_000_000n);
    await eventually(expected, () => told.at(-1) === expected);
  };

  test('G6 statements that belong together see one server, also when the other one comes back in between', async () => {
    await measure(3_600n, 'away');
    const servers = await reads.together(async (sql) => {
      const first = await asked(sql);
      await measure(0n, 'back');
      return [first, await asked(sql)];
    });
    expect(servers).toEqual(['primary', 'primary']);
    expect(await reads.together(async (sql) => [await asked(sql), await asked(sql)])).toEqual([
      'standby',
      'standby',
    ]);
  });

  test('G6 statements that belong together are done anew on the primary when one of them fails', async () => {
    const tries: string[] = [];
    const servers = await reads.together(async (sql) => {
      const first = await asked(sql);
      tries.push(first);
      if (first === 'standby') await sql`select pg_terminate_backend(pg_backend_pid())`;
      return [first, await asked(sql)];
    });
    expect(tries).toEqual(['standby', 'primary']);
    expect(servers).toEqual(['primary', 'primary']);
    expect(told).toEqual(['away']);
  });

  test('a statement that conflicts with the replay goes to the primary, and the next one to the standby again', async () => {
    // What Postgres says when a statement is in the way of what is replayed.
    await store.sql`
      create function public.conflict() returns text language plpgsql as $$
      begin
        if current_setting('application_name') = 'standby' then
          raise exception 'canceling statement due to conflict with recovery' using errcode = '40001';
        end if;
        return current_setting('application_name');
      end $$`;
    const [row] = await reads<[{ name: string }]>`select public.conflict() as name`;
    expect(row.name).toBe('primary');
    expect(await asked(reads)).toBe('standby');
    expect(told).toEqual([]);
  });

  test('what was sent in vain because of its data is not sent twice', async () => {
    await expect(reads.unsafe(`select 1 / 0`)).rejects.toMatchObject({ code: '22012' });
    expect(await asked(reads)).toBe('standby');
  });

  test('rows come from it as they do from the driver', async () => {
    expect([...(await reads.unsafe('select 1::bigint, null').values())]).toEqual([[1n, null]]);
    expect([...(await reads`select ${7}::integer as n`.raw())]).toEqual([[Buffer.from('7')]]);
  });
});
