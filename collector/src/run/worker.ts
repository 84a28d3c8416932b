import type { Clock } from '../clock.ts';
import { databaseOptions } from '../database-options.ts';
import { readCertificate } from '../http/certificate.ts';
import { createQuotas } from '../ingest/quota.ts';
import { createSharedQuotas } from '../ingest/quota-shared.ts';
import type { Log } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { createDatabase } from '../store/database.ts';
import type { Beginning } from './messages.ts';
import { openSpools, serve } from './serve.ts';
import { inheritKept } from './spool-folders.ts';
import type { ToPrimary } from './to-primary.ts';

const databaseCloseMs = 1_000;

/**
 * One of several collectors on a port, in a process of its own. It has its part of the limits, a spool of its own, and connections of its own to
 * Postgres; quotas and metrics it shares with the others, through the primary. When the primary is gone Node ends it.
 */
export async function runWorker(
  { number, config, databaseUrl, spoolRoot, prepared }: Beginning,
  { clock, log, primary }: { readonly clock: Clock; readonly log: Log; readonly primary: ToPrimary },
  stop: AbortSignal,
): Promise<void> {
  const own = createMetrics({ process: true });
  primary.onCount(() => own.values());
  const metrics = { ...own, text: () => primary.totals() };
  const quotas = createSharedQuotas(createQuotas(clock), { tell: primary.tellTaken, every: clock.every });
  primary.onTaken((taken) => quotas.note(taken));
  const certificate = config.tls && (await readCertificate(config.tls));
  if (config.spoolDirectory !== undefined) await inheritKept(config.spoolDirectory);
  const spools = await openSpools(
    { config, clock, log, metrics },
    { root: spoolRoot, isFirst: number === 1 },
  );
  const database = createDatabase({
    ...databaseOptions(databaseUrl, config, { clock, log, metrics }),
    closed: !prepared,
  });
  primary.onPrepared(() => database.open());
  try {
    const dependencies = { config, clock, log, metrics, database, quotas, ...spools };
    await serve(
      { ...dependencies, certificate, onListening: ({ port }) => primary.tellListening(port) },
      stop,
    );
  } finally {
    quotas.stop();
    await database.close(databaseCloseMs);
    await spools.spool?.close();
  }
}
