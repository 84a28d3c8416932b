import { banner, keyLines } from '../banner.ts';
import { databaseOptions } from '../database-options.ts';
import { readCertificate } from '../http/certificate.ts';
import { createMetrics } from '../metrics.ts';
import { createDatabase } from '../store/database.ts';
import { findDatabase, prepare, prepareLater, type RunParts } from './prepare.ts';
import { openSpools, serve } from './serve.ts';

const databaseCloseMs = 1_000;

/** A collector in this process: certificate, spool, Postgres, migrations, collector, listener; and the same way back. */
export async function runAlone(
  parts: RunParts & { readonly print: (text: string) => void },
  stop: AbortSignal,
): Promise<void> {
  const { config, clock, log, print } = parts;
  const metrics = createMetrics({ process: true });
  const certificate = config.tls && (await readCertificate(config.tls));
  const spools = await openSpools(
    { config, clock, log, metrics },
    { root: config.spoolDirectory, isFirst: true },
  );
  try {
    const { url, data, stop: stopDatabase } = await findDatabase(parts, stop);
    const database = createDatabase({
      ...databaseOptions(url, config, { clock, log, metrics }),
      closed: true,
    });
    try {
      const made = await prepare(parts, url, stop);
      if (made !== undefined) database.open();
      const dependencies = { config, clock, log, metrics, database, ...spools };
      const onListening = async ({ host, port }: { host: string; port: number }): Promise<void> => {
        const scheme = certificate === undefined ? 'http' : 'https';
        print(banner({ scheme, host, port, made: made ?? new Map(), data }));
        if (made !== undefined) return;
        const late = await prepareLater(parts, url, stop);
        database.open();
        print(keyLines(late));
      };
      await serve({ ...dependencies, certificate, onListening }, stop);
    } finally {
      await database.close(databaseCloseMs);
      await stopDatabase();
    }
  } finally {
    await spools.spool?.close();
  }
}
