// A process that owns an embedded Postgres and does nothing else, for tests that kill it.

import { startEmbeddedPostgres } from '../../collector/src/store/embedded.ts';
import { quietLog } from './quiet-log.ts';

const [dataDir = ''] = process.argv.slice(2);
try {
  const { url, pid } = await startEmbeddedPostgres({ dataDir, log: quietLog });
  console.log(JSON.stringify({ url, pid }));
} catch (error) {
  console.log(JSON.stringify({ code: (error as { code?: unknown }).code, message: String(error) }));
}
