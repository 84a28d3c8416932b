import { readFileSync } from 'node:fs';
import { deliveryDefaults } from '@tidemark/core';
import { expect, test } from 'vitest';
import { pageDefaults } from '../../sdk-browser/src/options.ts';

const readme = readFileSync(new URL('../../sdk-browser/README.md', import.meta.url), 'utf8');

test('the table of the browser SDK lists every option, with its default', () => {
  const rows = [...readme.matchAll(/^\| `(\w+)` \| ([^|]*)\| [^|]+ \|$/gm)];
  const listed = rows.map(([, name = '', value = '']) => [name, value.trim().replaceAll(/[,`]/g, '')]);
  const defaults = { ...deliveryDefaults, ...pageDefaults, url: '', key: '', onReport: 'warnings' };
  expect(listed.sort()).toEqual(
    Object.entries(defaults)
      .map(([name, value]) => [name, `${value}`])
      .sort(),
  );
});
