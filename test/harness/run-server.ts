import { rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../collector/src/store/embedded.ts';
import { makeEnterableFolder } from './enterable-folder.ts';
import { startPrivatePostgres } from './private-postgres.ts';
import { quietLog } from './quiet-log.ts';

/** The server that one run of the tests or of a benchmark uses. */
export interface ServerForRun {
  /** Where it comes from. */
  readonly kind: string;
  readonly adminUrl: string;
  readonly stop: () => Promise<void>;
}

/**
 * Starts the collector's own embedded Postgres, or the one this machine has, in a temporary folder, with the settings it has in production,
 * durability included; or takes the server that TIDEMARK_TEST_DATABASE_URL names.
 */
export async function startServerForRun(kind: 'embedded' | 'system' = 'embedded'): Promise<ServerForRun> {
  const adminUrl = process.env['TIDEMARK_TEST_DATABASE_URL'];
  if (adminUrl !== undefined) return { kind: 'TIDEMARK_TEST_DATABASE_URL', adminUrl, stop: async () => {} };
  if (kind === 'system') {
    const { url, stop } = await startPrivatePostgres({ server: 'system', settings: settingsForRun });
    return { kind: "the machine's own", adminUrl: url, stop };
  }
  const folder = await makeEnterableFolder('tidemark-test-');
  try {
    const server = await startEmbeddedPostgres({
      dataDir: join(folder, 'postgres'),
      log: quietLog,
      settings: settingsForRun,
    });
    // A run that is interrupted ends without closing anything; its data is of no use to anybody.
    const abandon = () => {
      process.kill(server.pid, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    };
    process.once('exit', abandon);
    return {
      kind: 'embedded',
      adminUrl: server.url,
      stop: async () => {
        process.off('exit', abandon);
        await server.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Files run side by side, and each may run several collectors. */
const settingsForRun = { max_connections: '300' };
