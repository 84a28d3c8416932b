import { expect, test } from 'vitest';
import { createMetrics } from '../../../collector/src/metrics.ts';

test('two apps in a process count apart', async () => {
  const one = createMetrics();
  const other = createMetrics();
  one.eventsAccepted.inc(3);
  one.eventsRejected.inc({ code: 'event_too_large' });
  expect((await one.text()).body).toContain('tidemark_events_accepted_total 3');
  expect((await one.text()).body).toContain('tidemark_events_rejected_total{code="event_too_large"} 1');
  expect((await other.text()).body).toContain('tidemark_events_accepted_total 0');
});

test('a sampler runs before each look, until its owner ends it', async () => {
  const metrics = createMetrics();
  let queued = 7;
  const stop = metrics.sample(() => metrics.queueRequests.set(queued));
  expect((await metrics.text()).body).toContain('tidemark_queue_requests 7');
  queued = 8;
  expect((await metrics.text()).body).toContain('tidemark_queue_requests 8');
  stop();
  queued = 9;
  expect((await metrics.text()).body).toContain('tidemark_queue_requests 8');
});

test('names are those of the project, with the unit last', async () => {
  const { body, contentType } = await createMetrics().text();
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  const types = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type]) => ({ name, type }));
  expect(types.length).toBeGreaterThan(15);
  for (const { name, type } of types) {
    expect(name).toMatch(/^tidemark_[a-z_]+$/);
    if (type === 'counter') expect(name).toMatch(/_total$/);
    else expect(name).not.toMatch(/_total$|_ms$/);
  }
});
