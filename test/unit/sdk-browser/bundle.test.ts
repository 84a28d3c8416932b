import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { describe, expect, test } from 'vitest';
import { bundle, type Entry } from '../../../sdk-browser/build/bundle.ts';
import { internalNames } from '../../../sdk-browser/build/internal-names.ts';

const dist = new URL('../../../sdk-browser/dist/', import.meta.url);

describe.each<[entry: Entry, globalName?: string]>([['index'], ['lite'], ['script', 'tidemark']])(
  '%s.js',
  (entry, globalName) => {
    const bundled = bundle(entry, globalName);

    test('has short names for all internal properties', async () => {
      const { code } = await bundled;
      const names = code.match(/(?<=[.{,]|\?\.)[\w$]+(?=[:({,}.]|\?\.)/g) ?? [];
      expect(names).toContain('track');
      expect(names.filter((name) => internalNames.includes(name))).toEqual([]);
    });

    test('has a source map that leads to where it is written', async () => {
      const { code, map } = await bundled;
      const sources = new SourceMap(JSON.parse(map) as SourceMapPayload);
      for (const text of ['retry-after', 'name must be a string', 'too_large']) {
        const lines = code.slice(0, code.indexOf(text) - 1).split('\n');
        const found = sources.findEntry(lines.length - 1, lines.at(-1)?.length ?? 0);
        if (!('originalSource' in found)) throw new Error(`Nothing leads to "${text}"`);
        const source = readFileSync(new URL(found.originalSource, dist), 'utf8').split('\n');
        expect(source[found.originalLine]?.slice(found.originalColumn)).toContain(text);
      }
    });

    test('is the same every time', async () => {
      expect(await bundle(entry, globalName)).toEqual(await bundled);
    });
  },
);
