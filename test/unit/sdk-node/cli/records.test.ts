import { type InputRecord, type SplitOptions, splitRecords } from '../../../../sdk-node/src/cli/records.ts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCsv } from '../../../../sdk-node/src/cli/csv.ts';
import { runs } from '../../../harness/seed.ts';

async function split(
  text: string | Buffer,
  options: Partial<SplitOptions> = {},
  sizes: readonly number[] = [],
): Promise<InputRecord[]> {
  const bytes = Buffer.from(text);
  async function* chunks(): AsyncGenerator<Buffer> {
    let at = 0;
    for (const size of sizes) {
      const chunk = bytes.subarray(at, at + size);
      at += chunk.length;
      yield chunk;
    }
    await Promise.resolve();
    if (at < bytes.length) yield bytes.subarray(at);
  }
  const found: InputRecord[] = [];
  for await (const record of splitRecords(chunks(), { recordBytesMax: 100, ...options })) found.push(record);
  return found;
}

const texts = (records: readonly InputRecord[]) => records.map(({ bytes }) => bytes.toString());

describe('a stream of bytes becomes records', () => {
  test('at line ends, with or without a carriage return, and the last one without any', async () => {
    const records = await split('one\r\ntwo\n\nfour');
    expect(texts(records)).toEqual(['one', 'two', '', 'four']);
    expect(records.map(({ line, start, end }) => [line, start, end])).toEqual([
      [1, 0, 5],
      [2, 5, 9],
      [3, 9, 10],
      [4, 10, 14],
    ]);
    expect(await split('')).toEqual([]);
  });

  test('in CSV not at line ends between quotes, but a stray quote swallows nothing', async () => {
    const records = await split('a,b\n"x\n""y""\n",2\n5" pipe,3\nlast,4\n', { delimiter: ',' });
    expect(texts(records)).toEqual(['a,b', '"x\n""y""\n",2', '5" pipe,3', 'last,4']);
    expect(records.map(({ line }) => line)).toEqual([1, 2, 5, 6]);
  });

  test('G5 of which a longer one is cut off, and what follows it is whole', async () => {
    const long = 'x'.repeat(250);
    const records = await split(`a\n${long}\nb\n`);
    expect(records.map(({ bytes, tooLong }) => [bytes.length, tooLong])).toEqual([
      [1, false],
      [100, true],
      [1, false],
    ]);
    expect(records[1]).toMatchObject({ line: 2, start: 2, end: 253 });
    const open = await split(`a\n"${'x\n'.repeat(80)}b\n`, { delimiter: ',' });
    expect(open[1]).toMatchObject({ line: 2, tooLong: true });
    expect(open.at(-1)?.bytes.toString()).toBe('b');
    expect(open.at(-1)).toMatchObject({ line: 82 });
  });

  test('the same however it comes in pieces, and nothing is left out', async () => {
    const piece = fc.constantFrom('a', '"', ',', '\n', '\r\n', 'ü', '""', '","', 'long text ');
    const input = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(
        input,
        fc.array(fc.nat(7), { maxLength: 40 }),
        fc.constantFrom(undefined, ','),
        async (text, sizes, delimiter) => {
          const whole = await split(text, { delimiter, recordBytesMax: 30 });
          expect(await split(text, { delimiter, recordBytesMax: 30 }, sizes)).toEqual(whole);
          let end = 0;
          for (const record of whole) {
            expect(record.start).toBe(end);
            end = record.end;
          }
          expect(end).toBe(Buffer.byteLength(text));
          const lines = whole.at(-1)?.line ?? 1;
          expect(lines).toBeLessThanOrEqual(text.split('\n').length);
        },
      ),
      runs(300),
    );
  });
});

describe('CSV', () => {
  test('that was written comes back', () => {
    const field = fc.oneof(fc.string(), fc.constantFrom('', '"', 'a,b', 'a\nb', '""'));
    const rows = fc.array(field, { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(rows, fc.constantFrom(',', ';', '\t'), (fields, delimiter) => {
        const written = fields.map((one) =>
          /["\n\r,;\t]/.test(one) ? `"${one.replaceAll('"', '""')}"` : one,
        );
        expect(parseCsv(written.join(delimiter), delimiter)).toEqual(fields);
      }),
      runs(500),
    );
  });

  test('that is broken is said to be', () => {
    expect(parseCsv('"a', ',')).toEqual({ mistake: 'a quote is not closed' });
    expect(parseCsv('x,"a"b', ',')).toEqual({ mistake: 'field 2 goes on after its closing quote' });
    expect(parseCsv('5" pipe,', ',')).toEqual(['5" pipe', '']);
  });
});
