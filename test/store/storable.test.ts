import { defaultLimits } from '@tidemark/core/wire';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decodeBatch } from '../../collector/src/ingest/decode.ts';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let sql: Sql;

beforeAll(async () => {
  database = await createTestDatabase({ migrate: false });
  sql = connect(database.url, 'test', 2, {});
});

afterAll(async () => {
  await sql.end();
  await database.drop();
});

/** Whether the decoder lets props pass. */
function passes(props: string): boolean {
  const body = Buffer.from(`{"events":[{"name":"n","props":${props}}]}`);
  const context = { limits: { ...defaultLimits, eventBytes: 10_000_000 }, defaultStream: 'default' };
  const decoded = decodeBatch(body, context);
  return decoded.ok && decoded.batch.events.length === 1;
}

/** Whether Postgres can do everything with them that it can do with JSON. */
async function holds(props: string): Promise<boolean> {
  try {
    await sql`select ${props}::text::json::jsonb`;
    return true;
  } catch {
    return false;
  }
}

const digits = (count: number) => '7'.repeat(count);
const around = (edge: number) => fc.integer({ min: edge - 3, max: edge + 3 });

test('numbers pass the decoder exactly if Postgres can hold them', async () => {
  const exponents = fc.oneof(
    around(131_072),
    around(-16_383),
    around(0),
    // At 1,073,741,823 itself Postgres 15 and 16 differ.
    around(1_073_741_819),
    around(1_073_741_827),
    around(-1_073_741_819),
    around(-1_073_741_827),
    around(2_147_483_647),
  );
  const whole = fc.oneof(
    fc.constant('0'),
    fc.integer({ min: 1, max: 4 }).map(digits),
    around(131_072).map(digits),
  );
  const fraction = fc.oneof(
    fc.constantFrom('', '.0', '.000', '.5', '.05', '.50'),
    around(16_383).map((count) => `.${digits(count)}`),
  );
  const number = fc
    .tuple(fc.constantFrom('', '-'), whole, fraction, fc.constantFrom('', 'e', 'E+'), exponents)
    .filter(([, , , e, exponent]) => e !== 'E+' || exponent >= 0)
    .map(([sign, first, rest, e, exponent]) => `${sign}${first}${rest}${e}${e === '' ? '' : exponent}`);
  const seen = { held: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(number, async (text) => {
      const props = `{"n":${text}}`;
      const held = await holds(props);
      expect([text.slice(0, 60), passes(props)]).toEqual([text.slice(0, 60), held]);
      seen[held ? 'held' : 'refused']++;
    }),
    { numRuns: 400 },
  );
  expect(Math.min(seen.held, seen.refused)).toBeGreaterThan(40);
});

test('text passes the decoder exactly if Postgres can hold it', async () => {
  const piece = fc.constantFrom(
    ...[
      'a',
      'é',
      '東',
      '😀',
      '\\u0000',
      '\\u0001',
      '\\u001f',
      '\\ud83d',
      '\\ude00',
      '\\uD7FF',
      '\\ue000',
      '\\uffff',
      '\\\\',
      '\\n',
      '\u007f',
      '\u2028',
      '\\ufeff',
    ],
  );
  const seen = { held: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 5 }), fc.boolean(), async (pieces, asName) => {
      const text = pieces.join('');
      const props = asName ? `{"${text}":1}` : `{"a":["${text}"]}`;
      const held = await holds(props);
      expect([props, passes(props)]).toEqual([props, held]);
      seen[held ? 'held' : 'refused']++;
    }),
    { numRuns: 400 },
  );
  expect(Math.min(seen.held, seen.refused)).toBeGreaterThan(40);
});
