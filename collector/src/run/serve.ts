import { createCollector } from '../app.ts';
import type { CollectorDependencies } from '../compose/dependencies.ts';
import type { Certificate } from '../http/certificate.ts';
import { connectionLimits, type Listener, listen } from '../http/serve.ts';
import { type OpenSpool, openSpool } from '../ingest/spool-open.ts';
import { whenReachable } from '../store/prepare.ts';
import { abandonedFolders } from './spool-folders.ts';
import { databasePatience } from './prepare.ts';

export interface ServeParts extends CollectorDependencies {
  readonly certificate: Certificate | undefined;
  /** Requests are answered now. What it does is waited for only until the end, and its failure is one. */
  readonly onListening: (listener: Listener) => Promise<void>;
}

/** How long the listener stays open after `/readyz` has turned 503, for load balancers to notice. */
const drainMs = 1_000;
const listenerCloseMs = 5_000;

/** From a database that may not be there yet to the end of the last request. */
export async function serve(parts: ServeParts, stop: AbortSignal): Promise<void> {
  const { config, clock, certificate } = parts;
  const collector = await whenReachable(() => createCollector(parts), databasePatience(parts, stop));
  const address = { host: config.host, port: config.port, certificate };
  const limits = { ...connectionLimits, connectionsMax: config.connectionsMax };
  const listener = await listen(collector.app, address, clock, limits).catch(async (error: unknown) => {
    await collector.close();
    throw error;
  });
  try {
    await Promise.race([aborted(stop), parts.onListening(listener)]);
    await aborted(stop);
    collector.drain();
    await clock.sleep(drainMs);
  } finally {
    await Promise.all([collector.close(), listener.close(listenerCloseMs)]);
  }
}

/** Opens the spool that is configured, if one is. The first of all processes also empties those that nobody has any more. */
export async function openSpools(
  { config, clock, log, metrics }: Pick<ServeParts, 'config' | 'clock' | 'log' | 'metrics'>,
  left: { readonly root: string | undefined; readonly isFirst: boolean },
): Promise<Pick<CollectorDependencies, 'spool' | 'abandoned'> & { readonly spool: OpenSpool | undefined }> {
  const { spoolDirectory, spoolBytesMax: bytesMax, workers } = config;
  const { root, isFirst } = left;
  if (spoolDirectory === undefined || root === undefined) return { spool: undefined };
  const open = (folder: string) => openSpool(folder, { bytesMax, clock, log, metrics });
  const spool = await open(spoolDirectory);
  return { spool, abandoned: isFirst ? { folders: () => abandonedFolders(root, workers), open } : undefined };
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
