import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readOptions } from '../../sdk-node/src/options.ts';

const readme = readFileSync(new URL('../../sdk-node/README.md', import.meta.url), 'utf8');
// What reading takes is in tables of its own.
const [sending = ''] = readme.split('\n## Reading\n');

test('the table of the Node SDK lists every option, with its default', () => {
  const rows = [...sending.matchAll(/^\| `(\w+)` \| ([^|]*)\| [^|]+ \|$/gm)];
  const listed = new Map(rows.map(([, name = '', value = '']) => [name, value.trim().replaceAll(',', '')]));
  // When events go to disk is the engine's own.
  const given = { url: 'https://events.example.com', key: 'k' };
  const { blocks, saveAfterMs: _saveAfterMs, ...defaults } = readOptions(given);
  const expected = Object.entries({
    ...defaults,
    url: '',
    key: '',
    whenFull: blocks ? '`block`' : '',
    spoolDir: '',
    onReport: 'warnings',
  });
  expect([...listed].sort()).toEqual(expected.map(([name, value]) => [name, String(value)]).sort());
});
