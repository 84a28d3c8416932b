import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PostgresBinaries } from '../../collector/src/store/embedded-binaries.ts';

/** A Postgres that the machine's own packages installed. */
export interface SystemPostgres {
  readonly binDir: string;
  /** The major version. */
  readonly version: number;
  readonly binaries: PostgresBinaries;
}

// Debian and Ubuntu, Red Hat, Homebrew on both kinds of Mac: each has the version in the path.
const places = [
  { folder: '/usr/lib/postgresql', name: /^\d+$/ },
  { folder: '/usr', name: /^pgsql-\d+$/ },
  { folder: '/opt/homebrew/opt', name: /^postgresql@\d+$/ },
  { folder: '/usr/local/opt', name: /^postgresql@\d+$/ },
];

/** The newest Postgres from version 15 on that this machine has, or undefined. */
export async function findSystemPostgres(): Promise<SystemPostgres | undefined> {
  const found: SystemPostgres[] = [];
  for (const place of places) {
    for (const name of await readdir(place.folder).catch(() => [])) {
      if (!place.name.test(name)) continue;
      const binDir = join(place.folder, name, 'bin');
      const binaries = {
        postgres: join(binDir, 'postgres'),
        initdb: join(binDir, 'initdb'),
        pgCtl: join(binDir, 'pg_ctl'),
      };
      const version = Number(/\d+$/.exec(name)?.[0]);
      if (version >= 15 && Object.values(binaries).every((path) => existsSync(path))) {
        found.push({ binDir, version, binaries });
      }
    }
  }
  return found.sort((one, other) => other.version - one.version)[0];
}
