import type { Config } from '../config.ts';
import { workerSpool } from './spool-folders.ts';

/**
 * What one of several workers works with. What the configuration limits it limits for all of them together, so each has its part of it: connections
 * come to workers in turn, so that none has much more of the load than the others. How many connections there are to Postgres, and
 * how long batches wait, is for each.
 */
export function shareOf(config: Config, number: number): Config {
  const part = (whole: number): number => Math.max(1, Math.floor(whole / config.workers));
  return {
    ...config,
    inflightBytesMax: part(config.inflightBytesMax),
    inflightRequestsMax: part(config.inflightRequestsMax),
    openReadsMax: part(config.openReadsMax),
    connectionsMax: part(config.connectionsMax),
    spoolBytesMax: part(config.spoolBytesMax),
    spoolDirectory:
      config.spoolDirectory === undefined ? undefined : workerSpool(config.spoolDirectory, number),
  };
}
