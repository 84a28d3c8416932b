import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Settings, startSettings } from '../../../collector/src/ingest/settings.ts';
import type { AppendRow } from '../../../collector/src/store/append.ts';
import type { ActiveSchema, SchemaCounts } from '../../../collector/src/store/schemas.ts';
import type { AskingStream } from '../../../collector/src/store/settings.ts';
import { appendRow } from '../../harness/append-row.ts';

interface Stored {
  version: bigint;
  asking: AskingStream[];
  schemas: ActiveSchema[];
  away: boolean;
}

let stored: Stored;
let reads: number;
let counts: SchemaCounts[];
let mismatches: string[];
let wake: () => void;
let settings: Settings;

beforeEach(() => {
  stored = { version: 1n, asking: [], schemas: [], away: false };
  reads = 0;
  counts = [];
  mismatches = [];
  wake = () => undefined;
});

afterEach(() => settings.stop());

function start(): void {
  const answer = async <T>(value: T): Promise<T> => {
    if (stored.away) throw new Error('away');
    return value;
  };
  settings = startSettings({
    initialAsking: [],
    readVersion: () => answer(stored.version),
    readAsking: () => answer(stored.asking),
    readSchemas: () => {
      reads += 1;
      return answer(stored.schemas);
    },
    async addCounts(more) {
      await answer(undefined);
      counts.push(...more);
    },
    onMismatch: ({ stream, name, mode }) => mismatches.push(`${stream} ${name} ${mode}`),
    onFailure: () => undefined,
    sleep: (_, signal) =>
      new Promise((resolve) => {
        wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      }),
  });
}

/** A second passes, and what follows from it is done. */
async function second(): Promise<void> {
  wake();
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
}

const required: ActiveSchema = {
  schemaId: 1n,
  stream: 'orders',
  name: 'placed',
  mode: 'enforce',
  schema: '{"required":["total"]}',
};
const row = (id: string, props: string | null, change: Partial<AppendRow> = {}): AppendRow => ({
  ...appendRow(id),
  stream: 'orders',
  name: 'placed',
  props,
  ...change,
});
const refused = async (...rows: AppendRow[]) =>
  [...(await settings.refusalsOf(rows)).keys()].map(({ id }) => id);

describe('the settings of streams', () => {
  test('are read at the start, and again only when something has changed', async () => {
    stored.asking = [{ stream: 'a', clientIp: 'whole', userAgent: false }];
    start();
    await settings.known();
    expect(settings.asks('a')).toEqual(stored.asking[0]);
    expect(settings.asks('b')).toBeUndefined();
    await second();
    await second();
    expect(reads).toBe(1);
    stored.asking = [];
    stored.version += 1n;
    await second();
    expect(settings.asks('a')).toBeUndefined();
    expect(reads).toBe(2);
  });

  test('hold while the database is away', async () => {
    stored.schemas = [required];
    start();
    await settings.known();
    stored.away = true;
    stored.version += 1n;
    await second();
    expect(await refused(row('1', '{}'))).toEqual(['1']);
    stored.away = false;
    stored.schemas = [];
    await second();
    expect(await refused(row('1', '{}'))).toEqual([]);
  });

  test('that were never read let nothing be stored unchecked', async () => {
    stored.away = true;
    stored.schemas = [required];
    start();
    await expect(settings.refusalsOf([row('1', '{}')])).rejects.toThrow('away');
    stored.away = false;
    expect(await refused(row('1', '{}'))).toEqual(['1']);
  });
});

describe('schemas', () => {
  test('refuse events of their stream and name that do not match, where they are enforced', async () => {
    stored.schemas = [required, { ...required, schemaId: 2n, name: 'paid', mode: 'warn' }];
    start();
    const found = await refused(
      row('1', '{"total":1}'),
      row('2', '{"amount":1}'),
      row('3', null),
      row('4', '{}', { name: 'paid' }),
      row('5', '{}', { name: 'other' }),
      row('6', '{}', { stream: 'other' }),
    );
    expect(found).toEqual(['2', '3']);
    expect(mismatches).toEqual(['orders placed enforce', 'orders placed enforce', 'orders paid warn']);
  });

  test('G4 are counted, and the counts come again where they could not be written', async () => {
    stored.schemas = [required, { ...required, schemaId: 2n, name: 'paid', mode: 'warn' }];
    start();
    await refused(row('1', '{}'), row('2', '{}', { name: 'paid' }));
    stored.away = true;
    await second();
    await refused(row('3', '{}'));
    stored.away = false;
    await second();
    expect(counts).toEqual([
      { schemaId: 1n, warned: 0, rejected: 2 },
      { schemaId: 2n, warned: 1, rejected: 0 },
    ]);
    await refused(row('4', '{}'));
    await settings.stop();
    expect(counts.at(-1)).toEqual({ schemaId: 1n, warned: 0, rejected: 1 });
  });

  test('that this version cannot compile allow everything', async () => {
    stored.schemas = [{ ...required, schema: '{"newKeyword":true}' }];
    start();
    expect(await refused(row('1', '{}'))).toEqual([]);
  });
});
