import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** A flight, as it was planned and as it came. */
export interface Flight {
  readonly id: string;
  /** RFC 3339. */
  readonly scheduledAt: string;
  /** Milliseconds since the Unix epoch. */
  readonly scheduledMs: number;
  readonly actualMs: number;
  readonly origin: string;
  readonly destination: string;
  readonly distanceMiles: number;
  readonly delayMinutes: number;
}

/**
 * 20,000 flights of the first three months of 2001, which the npm package vega-datasets has from the U.S. Bureau of Transportation
 * Statistics.
 *
 * `date` is `2001/01/31 23:59`, the wall clock of the airport of departure, without a zone. All are read as UTC: the demo is about one
 * order of all, not about the sun. `delay` is by how many minutes the flight came later than planned, or earlier where it is
 * negative. (The package's own script takes `date` from the departure and `delay` from the arrival.) Here `date` is the plan, and
 * `date + delay` the moment when somebody learns of it: so reports are as far out of order as flights of a real winter.
 */
export async function readFlights(): Promise<readonly Flight[]> {
  const folder = join(createRequire(import.meta.url).resolve('vega-datasets'), '../../data');
  const rows = JSON.parse(await readFile(join(folder, 'flights-20k.json'), 'utf8')) as readonly Row[];
  return rows.map(({ date, delay, distance, origin, destination }, index) => {
    const scheduledAt = `${date.replaceAll('/', '-').replace(' ', 'T')}:00Z`;
    const scheduledMs = Date.parse(scheduledAt);
    return {
      // The place in the file, so that whoever sends it twice is told so.
      id: `flight-${index + 1}`,
      scheduledAt,
      scheduledMs,
      actualMs: scheduledMs + delay * 60_000,
      origin,
      destination,
      distanceMiles: distance,
      delayMinutes: delay,
    };
  });
}

/** In the order in which they came. */
export function inActualOrder(flights: readonly Flight[]): readonly Flight[] {
  return flights.toSorted((a, b) => a.actualMs - b.actualMs);
}

interface Row {
  readonly date: string;
  readonly delay: number;
  readonly distance: number;
  readonly origin: string;
  readonly destination: string;
}
