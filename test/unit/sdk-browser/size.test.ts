import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { bundle } from '../../../sdk-browser/build/bundle.ts';

/** Bytes that each published file may have when it is compressed with brotli, all that it needs included. */
const budgets = [
  ['index', 5_000],
  ['lite', 1_575],
  ['auto', 520],
] as const;

test.each(budgets)('%s.js has at most %i bytes', async (entry, budget) => {
  const bytes = Buffer.from((await bundle(entry)).code);
  const compressed = brotliCompressSync(bytes).length;
  console.log(`${entry}.js: minified ${bytes.length}, gzip ${gzipSync(bytes).length}, brotli ${compressed}`);
  expect(bytes.length).toBeGreaterThan(500);
  expect(compressed).toBeLessThanOrEqual(budget);
});
