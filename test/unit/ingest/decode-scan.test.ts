import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BrokenJson, createScan, passSpace, type Scan } from '../../../collector/src/ingest/decode-scan.ts';
import { passValue } from '../../../collector/src/ingest/decode-value.ts';
import { isText, jsonTexts, mutated, piecesOfJson } from './json-texts.ts';

function scanOf(text: string | Buffer): Scan {
  return createScan(Buffer.isBuffer(text) ? text : Buffer.from(text), 32);
}

/** Whether the scanner takes all of it for one value. */
function accepts(text: string): boolean {
  const scan = scanOf(text);
  try {
    return passSpace(scan, passValue(scan, 0, 1)) === scan.end;
  } catch (error) {
    if (error instanceof BrokenJson) return false;
    throw error;
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function brokenAt(text: string): { at: number; expected: string } {
  try {
    const scan = scanOf(text);
    passValue(scan, 0, 1);
  } catch (error) {
    if (error instanceof BrokenJson) return { at: error.at, expected: error.expected };
  }
  throw new Error(`accepted: ${text}`);
}

describe('the scanner accepts exactly what JSON.parse accepts', () => {
  test('of JSON', () => {
    fc.assert(fc.property(jsonTexts, (text) => accepts(text)));
  });

  test('of JSON with some places changed', () => {
    fc.assert(
      fc.property(mutated(jsonTexts).filter(isText), (text) => {
        expect(accepts(text)).toBe(parses(text));
      }),
      { numRuns: 3_000 },
    );
  });

  test('of pieces of JSON', () => {
    fc.assert(
      fc.property(piecesOfJson.filter(isText), (text) => {
        expect(accepts(text)).toBe(parses(text));
      }),
      { numRuns: 3_000 },
    );
  });

  test('of every character inside a string and between tokens, and behind a backslash', () => {
    for (let code = 0; code < 0x180; code++) {
      const character = String.fromCharCode(code);
      for (const text of [
        `"${character}"`,
        `[1,${character}2]`,
        `"\\${character}"`,
        `"\\u00${character}0"`,
        `1${character}`,
      ])
        expect([text, accepts(text)]).toEqual([text, parses(text)]);
    }
  });

  test('of every character at every place in a string', () => {
    for (let code = 0; code < 0x100; code++) {
      for (let at = 0; at < 10; at++) {
        const text = `"${'x'.repeat(at)}${String.fromCharCode(code)}${'x'.repeat(10 - at)}"`;
        expect([text, accepts(text)]).toEqual([text, parses(text)]);
      }
    }
  });

  test.each([
    ...[
      '',
      ' ',
      '0',
      '-0',
      '-',
      '--1',
      '+1',
      '01',
      '-01',
      '1.',
      '.1',
      '1.e1',
      '1e',
      '1e+',
      '1E-7',
      '1e+07',
      '0e0',
      '0.0',
      '00',
    ],
    ...[
      'truE',
      'true1',
      'tru',
      'nulll',
      'undefined',
      'NaN',
      'Infinity',
      '-Infinity',
      "'a'",
      '/* */1',
      '0x10',
      '1_000',
    ],
    ...[
      '[',
      ']',
      '[,]',
      '[1,]',
      '[,1]',
      '[1 2]',
      '{',
      '}',
      '{"a"}',
      '{"a":}',
      '{"a":1,}',
      '{,}',
      '{a:1}',
      '{"a":1 "b":2}',
      '{"a",1}',
      '[1}',
      '{"a":1]',
    ],
    ...[
      '"',
      '"\\',
      '"\\"',
      '"\\u"',
      '"\\u12"',
      '"\\u12G4"',
      '"\\x41"',
      '"\\U0041"',
      '"\\ud800"',
      '"a\nb"',
      '"a\tb"',
      '\ufeff1',
      '1\u00a0',
      '1 1',
    ],
  ])('of %j', (text) => {
    expect(accepts(text)).toBe(parses(text));
  });
});

describe('the scanner says where JSON breaks', () => {
  test.each([
    ['', 0, 'a value'],
    ['{"a":1 "b":2}', 7, "',' or '}'"],
    ['[1 2]', 3, "',' or ']'"],
    ['{a:1}', 1, 'a name in double quotes'],
    ['{"a" 1}', 5, "':'"],
    ['"abc', 4, 'the end of a string'],
    ['"a\nb"', 2, 'an escape instead of a control character'],
    ['"a\\x"', 2, 'an escape of JSON'],
    ['[1.]', 3, 'a digit'],
    ['[01]', 2, 'no digit behind a leading 0'],
    ['[tru]', 1, 'a value'],
  ])('%j: at byte %i', (text, at, expected) => {
    expect(brokenAt(text)).toEqual({ at, expected });
  });
});

describe('the scanner notes', () => {
  const noted = (text: string, level = 1) => {
    const scan = scanOf(text);
    passValue(scan, 0, level);
    return scan;
  };

  test('how many bytes more than UTF-16 units it passed', () => {
    fc.assert(
      fc.property(jsonTexts.filter(isText), (text) => {
        expect(noted(text).excess).toBe(Buffer.byteLength(text) - text.length);
      }),
    );
  });

  test('that also where characters of all lengths stand between plain ones', () => {
    for (const character of ['\u0080', '\u00c9', 'é', '\u0800', '東', '\uffff', '😀', '\u{10ffff}']) {
      for (let at = 0; at < 10; at++) {
        const text = `"${'x'.repeat(at)}${character}${'x'.repeat(10 - at)}${character}"`;
        expect([text, noted(text).excess]).toEqual([text, Buffer.byteLength(text) - text.length]);
      }
    }
  });

  test.each([
    ['"\\u0000"', 'nul'],
    ['{"\\u0000":1}', 'nul'],
    ['"\\\\u0000"', undefined],
    ['"\\ud83d\\ude00"', undefined],
    ['"\\uD83D\\uDE00"', undefined],
    ['"\\ud83d"', 'surrogate'],
    ['"\\ude00"', 'surrogate'],
    ['"\\ude00\\ud83d"', 'surrogate'],
    ['"\\ud83d\\ud83d\\ude00"', 'surrogate'],
    ['"\\ud83d\\ud83d"', 'surrogate'],
    ['"\\ud83d\\n"', 'surrogate'],
    ['"\\ud83dx"', 'surrogate'],
    ['{"\\ud83d":1}', 'surrogate'],
    ['"\\ud7ff\\ue000"', undefined],
    ['"😀"', undefined],
    ['[1e131071, -1e131071]', undefined],
    ['[1, 1e131072]', 'number'],
  ])('what cannot be stored: %s', (text, unfit) => {
    expect(noted(text).unfit).toBe(unfit);
  });

  test('nesting beyond the limit', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(noted(nested(32)).unfit).toBeUndefined();
    expect(noted(nested(33)).unfit).toBe('depth');
    expect(noted(nested(31), 2).unfit).toBeUndefined();
    expect(noted(nested(32), 2).unfit).toBe('depth');
    expect(noted(`${'{"a":'.repeat(32)}1${'}'.repeat(32)}`).unfit).toBeUndefined();
    expect(noted(`${'{"a":'.repeat(33)}1${'}'.repeat(33)}`).unfit).toBe('depth');
  });

  test('white space with line breaks, and no other', () => {
    expect(noted('{"a": [1,\t2]}').lineBreaks).toBe(false);
    expect(noted('{"a":\n1}').lineBreaks).toBe(true);
    expect(noted('{"a":1\r}').lineBreaks).toBe(true);
  });
});

describe('R2 hostile text', () => {
  test('that is millions of brackets deep is passed without recursion', () => {
    const deep = 1_000_000;
    expect(accepts('['.repeat(deep) + ']'.repeat(deep))).toBe(true);
    expect(accepts('['.repeat(2 * deep))).toBe(false);
    expect(accepts('{"a":'.repeat(deep / 4))).toBe(false);
  });

  test('costs each byte a bounded number of reads', () => {
    const hostile: ReadonlyArray<readonly [name: string, (length: number) => string]> = [
      ['brackets', (length) => '['.repeat(length)],
      ['objects', (length) => '{"":'.repeat(length / 4)],
      ['a string that never ends', (length) => `"${'a'.repeat(length)}`],
      ['backslashes', (length) => `"${'\\\\'.repeat(length / 2)}`],
      ['surrogates', (length) => `"${'\\ud83d'.repeat(length / 6)}"`],
      ['digits', (length) => '1'.repeat(length)],
      ['an exponent', (length) => `1e${'1'.repeat(length)}`],
      ['zeros', (length) => `0.${'0'.repeat(length)}`],
      ['many exponents', (length) => `[${'1e5,'.repeat(length / 4)}1]`],
      ['space', (length) => ' '.repeat(length)],
      ['empty strings', (length) => `[${'"",'.repeat(length / 3)}""]`],
      ['names', (length) => `{${'"a":1,'.repeat(length / 6)}"b":2}`],
    ];
    for (const [name, make] of hostile) {
      const text = make(20_004);
      expect([name, readsOf(text) / text.length < 6]).toEqual([name, true]);
    }
  });
});

/** How many bytes the scanner reads of a text. */
function readsOf(text: string): number {
  let reads = 0;
  const scan = createScan(Buffer.from(text), 32);
  const bytes = new Proxy(scan.bytes, {
    get(target, name) {
      if (typeof name === 'string' && /^\d+$/.test(name)) reads++;
      return Reflect.get(target, name);
    },
  });
  const view = new DataView(scan.view.buffer, scan.view.byteOffset, scan.view.byteLength);
  view.getInt32 = (at, littleEndian) => {
    reads += 4;
    return scan.view.getInt32(at, littleEndian);
  };
  try {
    passValue({ ...scan, bytes, view }, 0, 1);
  } catch (error) {
    if (!(error instanceof BrokenJson)) throw error;
  }
  return reads;
}
