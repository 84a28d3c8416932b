import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Packs every package as it would be published, into a temporary folder, and has the tarballs checked: by publint for what a
 * package manager sees, by attw for what TypeScript sees. Run it after `tsc -b`.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const packages = ['sdk-core', 'sdk-browser', 'sdk-node', 'collector'];

function run(command: string, parameters: readonly string[], cwd: string): boolean {
  const { status, stdout, stderr, error } = spawnSync(command, parameters, { cwd, encoding: 'utf8' });
  if (status === 0) return true;
  console.error(`${command} ${parameters.join(' ')} failed\n${stdout}\n${stderr}\n${error?.message ?? ''}`);
  return false;
}

const folder = mkdtempSync(join(tmpdir(), 'tidemark-packages-'));
try {
  let good = true;
  for (const name of packages) {
    const before = new Set(readdirSync(folder));
    good = run('pnpm', ['pack', '--pack-destination', folder], join(root, name)) && good;
    const tarball = readdirSync(folder).find((file) => !before.has(file));
    if (tarball === undefined) {
      good = false;
      continue;
    }
    const packed = join(folder, tarball);
    good = run('pnpm', ['exec', 'publint', 'run', packed, '--strict'], root) && good;
    good = run('pnpm', ['exec', 'attw', packed, '--profile', 'esm-only'], root) && good;
  }
  console.log(
    good
      ? `${packages.length} packages are fit to be published`
      : 'Some packages are not fit to be published',
  );
  process.exitCode = good ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
