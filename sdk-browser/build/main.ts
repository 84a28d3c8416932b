import { mkdir, writeFile } from 'node:fs/promises';
import { bundle, type Entry } from './bundle.ts';

// Writes what is published, in the place of what the compiler made for the entries: its declarations stay.
const files: readonly (readonly [name: string, entry: Entry, globalName?: string])[] = [
  ['auto', 'auto'],
  ['index', 'index'],
  ['lite', 'lite'],
  ['react-native', 'react-native'],
  ['tidemark', 'script', 'tidemark'],
];

const place = new URL('../dist/', import.meta.url);
await mkdir(place, { recursive: true });
for (const [name, entry, globalName] of files) {
  const { code, map } = await bundle(entry, globalName);
  await writeFile(new URL(`${name}.js`, place), `${code}\n//# sourceMappingURL=${name}.js.map\n`);
  await writeFile(new URL(`${name}.js.map`, place), map);
}
