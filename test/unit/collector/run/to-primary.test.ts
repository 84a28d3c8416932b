import { expect, test } from 'vitest';
import type { News, Order } from '../../../../collector/src/run/messages.ts';
import { talkToPrimary } from '../../../../collector/src/run/to-primary.ts';
import { createFakeClock } from '../../../harness/clock.ts';

/** A channel to a primary that hears everything, or nothing. */
function makeTalk(hears = true) {
  const clock = createFakeClock();
  const said: News[] = [];
  let listener: (order: Order) => void = () => undefined;
  const primary = talkToPrimary(
    {
      send(news, sent) {
        said.push(news);
        if (hears) sent(null);
      },
      on(_, given) {
        listener = given;
      },
    },
    clock,
  );
  return { clock, said, primary, order: (order: Order) => listener(order) };
}

test('says first that it listens', () => {
  expect(makeTalk().said).toEqual([{ is: 'attentive' }]);
});

test('orders are carried out also by those who ask later to be told of them', () => {
  const { primary, order } = makeTalk();
  const done: string[] = [];
  order({ do: 'useDatabase' });
  order({ do: 'stop' });
  primary.onPrepared(() => done.push('prepared'));
  primary.onStop(() => done.push('stopped'));
  expect(done).toEqual(['prepared', 'stopped']);
});

test('the metrics of all come to whoever asked for them', async () => {
  const { clock, primary, order } = makeTalk();
  const [first, second] = [primary.totals(), primary.totals()];
  const totals = (body: string) => ({ contentType: 'text/plain', body });
  order({ do: 'tellTotals', ask: 2, totals: totals('two') });
  order({ do: 'tellTotals', ask: 1, totals: totals('one') });
  expect([await first, await second]).toEqual([totals('one'), totals('two')]);
  expect(clock.waiting()).toBe(0);
});

test('a primary that does not answer is not waited for without end', async () => {
  const { clock, primary } = makeTalk();
  const asked = primary.totals().catch((error: Error) => error.message);
  await clock.advance(5_000);
  expect(await asked).toBe('the primary has not told the metrics of all within 5000 ms');
});

test('G5 no more waits for a primary that is halted than a thousand messages', () => {
  const { said, primary } = makeTalk(false);
  for (let at = 0; at < 3_000; at += 1) primary.tellTaken([]);
  expect(said).toHaveLength(1_000);
});
