import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../../harness/seed.ts';
import { judge, type Sample, type Series } from '../../soak/verdict.ts';

const minutes = 30;
const everySeconds = 5;

/** A run of half an hour whose memory is what `at` says, in MiB, of the share of it that has passed and of its hours. */
function seriesOf(at: (share: number, hours: number) => number): Sample[] {
  const count = (minutes * 60) / everySeconds;
  return Array.from({ length: count + 1 }, (_, sample) => {
    const mebibytes = at(sample / count, (sample * everySeconds) / 3_600);
    return { seconds: sample * everySeconds, rss: mebibytes, live: mebibytes };
  });
}

/** Between −size and size, as a series of chance that the seed gives. */
function scatter(seed: number, size: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) * size;
  };
}

const start: Readonly<Record<Series, number>> = { live: 40, rss: 150 };

test.for<Series>(['live', 'rss'])(
  'every leak that a run is sure to find is found, whatever scatters: %s',
  (series) => {
    fc.assert(
      fc.property(fc.double({ min: 1.3, max: 50, noNaN: true }), fc.nat(), (times, seed) => {
        const { finds } = judge(
          seriesOf(() => start[series]),
          series,
        );
        const noise = scatter(seed, start[series] / 20);
        const leak = seriesOf((_, hours) => start[series] + times * finds * hours + noise());
        const verdict = judge(leak, series);
        expect(verdict.grows).toBe(true);
        expect(verdict.slope).toBeGreaterThan((times * finds) / 2);
      }),
      runs(30),
    );
  },
);

test.for<Series>(['live', 'rss'])('memory that goes up and down, or falls, does not grow: %s', (series) => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 40, noNaN: true }), (seed, fallPerHour) => {
      const noise = scatter(seed, start[series] / 10);
      const teeth = (share: number) => ((share * 97) % 1) * 0.1 * start[series];
      const steady = seriesOf((share, hours) => start[series] + teeth(share) + noise() - fallPerHour * hours);
      expect(judge(steady, series).grows).toBe(false);
    }),
    runs(30),
  );
});

test('what it takes to get going does not count as growth', () => {
  const warm = seriesOf((share) => 60 + 60 * Math.min(1, share * 4));
  expect(judge(warm, 'live')).toMatchObject({ middle: 120, last: 120, grows: false });
});

test('a leak shows where it is: in what is alive, or in what is resident alone', () => {
  const samples = seriesOf((_, hours) => 150 + 240 * hours).map((sample) => ({ ...sample, live: 40 }));
  expect(judge(samples, 'rss').grows).toBe(true);
  expect(judge(samples, 'live')).toMatchObject({ slope: 0, grows: false });
});

test('the slope is what was put in, and one wild sample does not change it', () => {
  const samples = seriesOf((_, hours) => 100 + 12 * hours);
  expect(judge(samples, 'rss').slope).toBeCloseTo(12);
  const wild = samples.map((sample, at) => (at === 300 ? { ...sample, rss: 900 } : sample));
  expect(judge(wild, 'rss').slope).toBeCloseTo(12);
});

test('too few samples say nothing', () => {
  expect(() => judge(seriesOf(() => 100).slice(0, 5), 'rss')).toThrow(
    '5 samples say nothing about growth: it takes 12',
  );
});
