import fc from 'fast-check';

/** What breaks, or bends, JSON when it stands in the wrong place. */
const pieces = [
  ...Array.from('{}[],:"\\/ \t\n\r-+.eE0129ux'),
  '\\u',
  '\\u0000',
  '\\ud83d',
  '\\ude00',
  '\\n',
  '\\"',
  '"a":',
  '""',
  '{}',
  '[]',
  'true',
  'false',
  'null',
  'nul',
  'NaN',
  '-0',
  '1e5',
  '0.5',
  '01',
  '\u0000',
  '\u001f',
  '\u007f',
  '\u00a0',
  '\u2028',
  '\ufeff',
  'é',
  '東',
  '😀',
];

const piece = fc.constantFrom(...pieces);

/** JSON as programs write it: any value, with and without white space. */
export const jsonTexts = fc
  .tuple(fc.jsonValue({ stringUnit: 'binary' }), fc.constantFrom(undefined, 2, '\t', ' \r\n'))
  .map(([value, indent]) => JSON.stringify(value, null, indent));

/** Texts with some places changed: about half of what was JSON still is. */
export function mutated(texts: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const change = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(2), piece);
  return fc.tuple(texts, fc.array(change, { maxLength: 3 })).map(([text, changes]) => {
    let changed = text;
    for (const [where, removed, inserted] of changes) {
      const at = Math.floor(where * changed.length);
      changed = changed.slice(0, at) + inserted + changed.slice(at + removed);
    }
    return changed;
  });
}

/** Anything made of what JSON is made of. */
export const piecesOfJson = fc.array(piece, { maxLength: 12 }).map((chosen) => chosen.join(''));

/** UTF-8 has no lone surrogates: such a text never reaches a decoder. */
export const isText = (text: string) => Buffer.from(text).toString() === text;
