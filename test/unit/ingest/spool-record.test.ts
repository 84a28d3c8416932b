import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeRows, encodeRows } from '../../../collector/src/ingest/spool-record.ts';
import { appendRow } from '../../harness/append-row.ts';
import { runs } from '../../harness/seed.ts';

const micros = fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n });
const text = fc
  .string({ unit: 'binary', maxLength: 40 })
  .filter((value) => !/[\0\p{Surrogate}]/u.test(value));
const row = fc
  .record({
    id: text,
    stream: fc.constantFrom('default', 'orders', 'a.b-c_d'),
    name: text,
    key: fc.option(text),
    props: fc.option(fc.dictionary(text, fc.jsonValue()).map((value) => JSON.stringify(value))),
    occurredAt: fc.option(micros),
    sentAt: fc.option(micros),
    receivedAt: micros,
    eventTime: micros,
    timeQuality: fc.nat(6),
    ip: fc.option(fc.ipV4()),
    userAgent: fc.option(text),
  })
  .map(({ id, ...rest }) => appendRow(id, rest));

describe('a record of the spool', () => {
  test('has rows come back as they were', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 20 }), (rows) => {
        expect(decodeRows(encodeRows(rows))).toEqual(rows);
      }),
      runs(300),
    );
  });

  test('keeps the text of props to the last digit', () => {
    const props = '{"a": 12345678901234567890.10, "b":\t[ ], "a":1}';
    expect(decodeRows(encodeRows([appendRow('one', { props }), appendRow('two')]))).toEqual([
      appendRow('one', { props }),
      appendRow('two'),
    ]);
  });

  test('that is something else is an error', () => {
    expect(() => decodeRows(Buffer.from('{"rows":2}\n{}'))).toThrow('cannot be read');
    expect(() => decodeRows(Buffer.from('nothing'))).toThrow(/./);
  });
});
