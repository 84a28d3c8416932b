import { type Collector, createCollector } from '../../collector/src/app.ts';
import { type Clock, createClock } from '../../collector/src/clock.ts';
import { readConfig } from '../../collector/src/config.ts';
import type { Certificate } from '../../collector/src/http/certificate.ts';
import { connectionLimits, type ConnectionLimits, listen } from '../../collector/src/http/serve.ts';
import { createLog } from '../../collector/src/log.ts';
import { createMetrics } from '../../collector/src/metrics.ts';
import { databaseOptions } from '../../collector/src/database-options.ts';
import { createDatabase, type Database } from '../../collector/src/store/database.ts';
import { adminKey, readKey, writeKey } from './collector.ts';

/** A collector in this process that listens on loopback, with all that is seen from outside: its socket, log and database. */
export interface ServedCollector extends Pick<Collector, 'app' | 'drain'> {
  /** Without a slash at the end. */
  readonly url: string;
  readonly database: Database;
  /** What it logged, at `debug`: a line of JSON each. */
  readonly logged: readonly string[];
  readonly stop: () => Promise<void>;
}

export const testKeys = { write: writeKey, read: readKey, admin: adminKey } as const;

/** On a database that is there and migrated. `environment` is what a user would set. */
export async function serveCollector(
  databaseUrl: string,
  options: {
    environment?: Record<string, string>;
    clock?: Clock;
    certificate?: Certificate;
    limits?: Partial<ConnectionLimits>;
  } = {},
): Promise<ServedCollector> {
  const read = readConfig({
    DATABASE_URL: databaseUrl,
    TIDEMARK_WRITE_KEY: writeKey,
    TIDEMARK_READ_KEY: readKey,
    TIDEMARK_ADMIN_KEY: adminKey,
    ...options.environment,
  });
  if (!read.ok) throw new Error(read.mistakes.join('\n'));
  const { config } = read;
  const logged: string[] = [];
  const clock = options.clock ?? createClock();
  const log = createLog({ level: 'debug', destination: { write: (line) => logged.push(line) } });
  const metrics = createMetrics();
  const database = createDatabase(databaseOptions(databaseUrl, config, { clock, log, metrics }));
  const collector = await createCollector({ config, clock, log, metrics, database });
  // A listener's timers are real, whatever the test does with its clock.
  const listener = await listen(
    collector.app,
    { host: '127.0.0.1', port: 0, certificate: options.certificate },
    createClock(),
    { ...connectionLimits, ...options.limits },
  );

  return {
    app: collector.app,
    drain: () => collector.drain(),
    url: `${options.certificate === undefined ? 'http' : 'https'}://127.0.0.1:${listener.port}`,
    database,
    logged,
    stop: async () => {
      // What was being answered gets its end, as when a process ends.
      await Promise.all([collector.close(), listener.close(1_000)]);
      await database.close(1_000);
    },
  };
}
