import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { is } from 'drizzle-orm';
import { getTableConfig, type PgColumn, PgTable } from 'drizzle-orm/pg-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrate, migrationsFolder } from '../../collector/src/store/migrate.ts';
import * as schema from '../../collector/src/store/schema.ts';
import { createStoreCase, type StoreCase } from '../harness/store-case.ts';

interface Journal {
  readonly entries: readonly { readonly idx: number; readonly when: number; readonly tag: string }[];
}

interface ColumnFact {
  readonly table: string;
  readonly column: string;
  readonly type: string;
  readonly required: boolean;
  readonly generated: boolean;
}

let store: StoreCase;

beforeAll(async () => {
  store = await createStoreCase();
});

afterAll(() => store.close());

describe('the journal', () => {
  test('lists every file once, numbered without a gap, in the order of their times', async () => {
    const { entries } = await readJournal();
    const files = (await readdir(migrationsFolder())).filter((name) => name.endsWith('.sql')).toSorted();
    expect(entries.map(({ tag }) => `${tag}.sql`)).toEqual(files);
    for (const [index, { idx, when, tag }] of entries.entries()) {
      expect(idx).toBe(index);
      expect(tag).toMatch(new RegExp(`^${String(index).padStart(4, '0')}_[a-z0-9_]+$`));
      expect(when).toBeGreaterThan(entries[index - 1]?.when ?? 0);
    }
  });

  test('runs once: a database that is up to date is left as it is', async () => {
    const count = async () =>
      (await store.sql`select hash, created_at from tidemark.migrations order by id`).slice();
    const before = await count();
    await migrate(store.url);
    expect(await count()).toEqual(before);
    expect(before).toHaveLength((await readJournal()).entries.length);
  });
});

test('files that were released are as they were: what has run somewhere is not changed, but followed by another', async () => {
  const folder = migrationsFolder();
  const released = JSON.parse(await readFile(`${folder}/meta/released.json`, 'utf8')) as Record<
    string,
    string
  >;
  const files = (await readJournal()).entries.map(({ tag }) => `${tag}.sql`);
  expect(Object.keys(released)).toEqual(files.slice(0, Object.keys(released).length));
  expect(Object.keys(released).length).toBeGreaterThan(0);
  for (const [file, sum] of Object.entries(released)) {
    const content = await readFile(`${folder}/${file}`);
    expect([file, createHash('sha256').update(content).digest('hex')]).toEqual([file, sum]);
  }
});

describe('schema.ts', () => {
  test('has the tables of a migrated database, and their columns', async () => {
    expect(columnsOfSchema()).toEqual(await columnsOfDatabase());
  });

  test('has their keys and unique columns', async () => {
    expect(keysOfSchema()).toEqual(await keysOfDatabase());
  });
});

async function readJournal(): Promise<Journal> {
  return JSON.parse(await readFile(`${migrationsFolder()}/meta/_journal.json`, 'utf8')) as Journal;
}

const tables = () =>
  Object.values<unknown>(schema)
    .filter((value): value is PgTable => is(value, PgTable))
    .map((table) => getTableConfig(table));

function columnsOfSchema(): ColumnFact[] {
  const facts = tables().flatMap(({ name: table, columns }) =>
    columns.map((column) => ({
      table,
      column: column.name,
      type: column.getSQLType(),
      required: column.notNull || column.primary,
      generated: column.generatedIdentity !== undefined,
    })),
  );
  return facts.toSorted(byName);
}

async function columnsOfDatabase(): Promise<ColumnFact[]> {
  const facts = await store.sql<ColumnFact[]>`
    select c.relname as "table", a.attname as "column", format_type(a.atttypid, a.atttypmod) as type,
      a.attnotnull as required, a.attidentity <> '' as generated
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'tidemark'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and c.relname <> 'migrations' and a.attnum > 0 and not a.attisdropped`;
  return [...facts].toSorted(byName);
}

function byName(a: ColumnFact, b: ColumnFact): number {
  return `${a.table}.${a.column}` < `${b.table}.${b.column}` ? -1 : 1;
}

/** Columns of each primary key and unique constraint. */
function keysOfSchema(): string[] {
  const names = (columns: readonly PgColumn[]) => columns.map(({ name }) => name).join(',');
  const keys = tables().flatMap(({ name, columns, primaryKeys, uniqueConstraints }) => [
    ...columns.filter(({ primary }) => primary).map((column) => `${name} p ${column.name}`),
    ...columns.filter(({ isUnique }) => isUnique).map((column) => `${name} u ${column.name}`),
    ...primaryKeys.map((key) => `${name} p ${names(key.columns)}`),
    ...uniqueConstraints.map((key) => `${name} u ${names(key.columns)}`),
  ]);
  return keys.toSorted();
}

async function keysOfDatabase(): Promise<string[]> {
  const rows = await store.sql<{ key: string }[]>`
    select c.relname || ' ' || k.contype::text || ' ' || (
      select string_agg(a.attname, ',' order by o.place)
      from unnest(k.conkey) with ordinality o (number, place) join pg_attribute a on a.attrelid = c.oid and a.attnum = o.number
    ) as key
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace = 'tidemark'::regnamespace and c.relname <> 'migrations' and not c.relispartition
      and k.contype in ('p', 'u')`;
  return rows.map(({ key }) => key).toSorted();
}
