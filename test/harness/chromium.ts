import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type BrowserContext, chromium } from 'playwright-core';

/** A real browser with a profile of its own. */
export interface Chromium {
  readonly context: BrowserContext;
  readonly close: () => Promise<void>;
}

const programs = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/**
 * Debian's Chromium; installed where it is missing and we may. undefined: there is none, and the tests that need it say that they were
 * skipped. Where `CI` is set it must be there.
 */
export async function findChromium(): Promise<string | undefined> {
  const found = installed() ?? (await install());
  if (found !== undefined) return found;
  if (process.env['CI']) throw new Error('there is no Chromium, and it could not be installed');
  console.warn('There is no Chromium (Debian: apt-get install chromium): its tests are SKIPPED');
  return undefined;
}

function installed(): string | undefined {
  return programs.find((program) => existsSync(program));
}

/** Files that run side by side wait for one another: the second finds what the first has installed. */
async function install(): Promise<string | undefined> {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return undefined;
  const lock = join(tmpdir(), 'tidemark-chromium.lock');
  const script = `[ -e ${programs[0]} ] || { apt-get update && apt-get install -y --no-install-recommends chromium; }`;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await promisify(execFile)('flock', [lock, 'sh', '-c', script], { env, timeout: 600_000 }).catch(
    (error: unknown) => console.warn(`Chromium could not be installed: ${String(error).slice(0, 500)}`),
  );
  return installed();
}

/** `keepsPages`: with its cache of pages that were left, which Playwright switches off. */
export async function startChromium(
  program: string,
  { keepsPages = false }: { readonly keepsPages?: boolean } = {},
): Promise<Chromium> {
  const profile = await mkdtemp(join(tmpdir(), 'tidemark-chromium-'));
  const remove = () => rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: program,
      headless: true,
      chromiumSandbox: false,
      ignoreDefaultArgs: keepsPages ? ['--disable-back-forward-cache'] : [],
      args: [
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    return {
      context,
      async close() {
        await context.close();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
