import { AggregatorRegistry, type Registry } from 'prom-client';
import type { MetricsText, MetricValues } from '../metrics.ts';

/**
 * The metrics of several processes as one: counters and histograms are added up, gauges as each of them says.
 *
 * What a process that is gone had counted stays in the sums, as it was last seen, so that no counter goes back. What it counted after that is
 * lost with it.
 */
export interface Totals {
  /** What a process has counted until now. */
  note(source: string, values: MetricValues): void;
  /** The process is gone. */
  end(source: string): void;
  text(): Promise<MetricsText>;
}

export function createTotals(): Totals {
  const seen = new Map<string, MetricValues>();
  /** Each adds to the one before. */
  let ended: Promise<MetricValues> = Promise.resolve([]);

  return {
    note: (source, values) => void seen.set(source, values.map(shown)),
    end(source) {
      const last = (seen.get(source) ?? []).filter(({ type }) => goesUp(type));
      seen.delete(source);
      ended = ended.then((before) => sumOf([before, last]).getMetricsAsJSON());
    },
    async text() {
      const sum = sumOf([await ended, ...seen.values()]);
      return { contentType: sum.contentType, body: await sum.metrics() };
    },
  };
}

const sumOf = (all: readonly MetricValues[]): Registry =>
  AggregatorRegistry.aggregate(all.map((values) => [...values]));

/** prom-client leaves out when processes started: the first of them is the start of all. */
function shown(metric: MetricValues[number]): MetricValues[number] {
  return metric.aggregator === 'omit' ? { ...metric, aggregator: 'min' } : metric;
}

/** Its types say a number, and its values are words. */
const goesUp = (type: unknown): boolean => type === 'counter' || type === 'histogram';
