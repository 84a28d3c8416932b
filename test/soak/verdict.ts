import { percentile } from '../bench/statistics.ts';

/** The memory of a process after a full collection of garbage, MiB. */
export interface Sample {
  readonly seconds: number;
  /** What the heap and the buffers outside of it hold. */
  readonly live: number;
  readonly rss: number;
}

export type Series = 'live' | 'rss';

/** MiB. */
export interface Verdict {
  /** Medians of the thirds. */
  readonly first: number;
  readonly middle: number;
  readonly last: number;
  /** An hour, over the last two thirds: the median of the slopes between any two samples (Theil 1950, Sen 1968). */
  readonly slope: number;
  /** How far the last third may be above the middle one. */
  readonly allowance: number;
  /** The smallest leak an hour that this run was sure to find. */
  readonly finds: number;
  readonly grows: boolean;
}

/**
 * What medians of a process that leaks nothing were seen to differ by, at most: what is resident depends on when the allocator gives
 * pages back, what is alive after a collection hardly varies.
 */
const allowances: Readonly<Record<Series, { readonly mebibytes: number; readonly share: number }>> = {
  live: { mebibytes: 2, share: 0.05 },
  rss: { mebibytes: 10, share: 0.1 },
};

export const samplesMin = 12;

/**
 * Whether memory grows. The first third is left to caches, pools and the compiler; from then on what is used may come and go, and
 * must not become more: the median of the last third is held against that of the middle one. Their middles are a third of the run
 * apart, so that a leak of r MiB an hour adds r ÷ 3 for each hour of it; by then the middle, of which the allowance is a share, has
 * risen by r ÷ 2.
 */
export function judge(samples: readonly Sample[], series: Series): Verdict {
  if (samples.length < samplesMin)
    throw new Error(`${samples.length} samples say nothing about growth: it takes ${samplesMin}`);
  const third = Math.floor(samples.length / 3);
  const median = (part: readonly Sample[]) =>
    percentile(
      part.map((sample) => sample[series]),
      0.5,
    );
  const first = median(samples.slice(0, third));
  const middle = median(samples.slice(third, -third));
  const last = median(samples.slice(-third));
  const { mebibytes, share } = allowances[series];
  const allowance = Math.max(mebibytes, share * middle);
  const hours = ((samples.at(-1)?.seconds ?? 0) - (samples[0]?.seconds ?? 0)) / 3_600;
  return {
    first,
    middle,
    last,
    slope: slopeOf(samples.slice(third), series),
    allowance,
    finds: allowance / (hours * (1 / 3 - share / 2)),
    grows: last - middle > allowance,
  };
}

function slopeOf(samples: readonly Sample[], series: Series): number {
  const slopes: number[] = [];
  samples.forEach((one, at) => {
    for (const other of samples.slice(at + 1))
      slopes.push((other[series] - one[series]) / ((other.seconds - one.seconds) / 3_600));
  });
  return percentile(slopes, 0.5);
}
