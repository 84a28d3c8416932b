// What `pnpm test` runs. Further arguments are vitest's: file filters, `-t`, `--reporter`.

import { fileURLToPath } from 'node:url';
import { parseCLI, startVitest, type Vitest } from 'vitest/node';

const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)]);
const vitest = await startVitest('test', filter, {
  ...options,
  root: fileURLToPath(new URL('.', import.meta.url)),
  watch: false,
});
const counts = count(vitest);
await vitest.close();
console.log(summary(counts));
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : (process.exitCode ?? 0);

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

// A file that could not be loaded, a hook that failed and an error outside of every test are failures as well,
// although no test reports them.
function count({ state }: Vitest): Counts {
  let passed = 0;
  let failed = state.getUnhandledErrors().length;
  let skipped = 0;
  for (const module of state.getTestModules()) {
    failed += module.errors().length;
    for (const suite of module.children.allSuites()) failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const result = test.result().state;
      if (result === 'passed') passed += 1;
      else if (result === 'skipped') skipped += 1;
      else failed += 1;
    }
  }
  return { passed, failed, skipped };
}

function summary({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
