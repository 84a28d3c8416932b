import { expect, test } from 'vitest';
import { createMetrics } from '../../../../collector/src/metrics.ts';
import { createTotals } from '../../../../collector/src/run/totals.ts';

const valueOf = (body: string, name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body)?.[1]);

test('counters and histograms are added up, gauges as each says', async () => {
  const totals = createTotals();
  for (const [at, factor] of [1, 2].entries()) {
    const metrics = createMetrics();
    metrics.eventsAccepted.inc(10 * factor);
    metrics.eventsRejected.inc({ code: 'invalid_name' }, factor);
    metrics.appendSeconds.observe(0.15 * factor);
    metrics.queueBytes.set(100 * factor);
    metrics.pressure.set(0.2 * factor);
    metrics.clockOffsetSeconds.set(-factor);
    totals.note(`worker ${at}`, await metrics.values());
  }
  const { body, contentType } = await totals.text();
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(valueOf(body, 'tidemark_events_accepted_total')).toBe(30);
  expect(valueOf(body, 'tidemark_events_rejected_total{code="invalid_name"}')).toBe(3);
  expect(valueOf(body, 'tidemark_append_seconds_bucket{le="0.2"}')).toBe(1);
  expect(valueOf(body, 'tidemark_append_seconds_count')).toBe(2);
  expect(valueOf(body, 'tidemark_append_seconds_sum')).toBeCloseTo(0.45);
  expect(valueOf(body, 'tidemark_queue_bytes')).toBe(300);
  expect(valueOf(body, 'tidemark_pressure')).toBe(0.4);
  expect(valueOf(body, 'tidemark_clock_offset_seconds')).toBe(-1.5);
});

test('the sum has every metric that one process has', async () => {
  const metrics = createMetrics({ process: true });
  const totals = createTotals();
  totals.note('worker 1', await metrics.values());
  const namesIn = (body: string) => [...body.matchAll(/^# TYPE (\S+ \S+)$/gm)].map(([, name]) => name).sort();
  expect(namesIn((await totals.text()).body)).toEqual(namesIn((await metrics.text()).body));
});

test('no counter goes back when a process ends, or several do', async () => {
  const totals = createTotals();
  const seen: number[] = [];
  const look = async () => seen.push(valueOf((await totals.text()).body, 'tidemark_events_accepted_total'));
  for (let life = 0; life < 3; life += 1) {
    const metrics = createMetrics();
    metrics.eventsAccepted.inc(5);
    metrics.queueBytes.set(7);
    totals.note('worker 1', await metrics.values());
    await look();
    metrics.eventsAccepted.inc(1);
    totals.note('worker 1', await metrics.values());
    totals.end('worker 1');
    await look();
  }
  expect(seen).toEqual([5, 6, 11, 12, 17, 18]);
  // What it was doing it does no more.
  expect((await totals.text()).body).not.toContain('tidemark_queue_bytes');
});
