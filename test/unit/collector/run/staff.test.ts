import { expect, test } from 'vitest';
import { createLog } from '../../../../collector/src/log.ts';
import type { News, Order } from '../../../../collector/src/run/messages.ts';
import { startStaff, WorkerError } from '../../../../collector/src/run/staff.ts';
import { createFakeClock } from '../../../harness/clock.ts';

interface FakeWorker {
  readonly orders: string[];
  say(news: News): void;
  end(how?: string): void;
}

function makeStaff(workers = 2) {
  const clock = createFakeClock();
  const started: FakeWorker[] = [];
  const staff = startStaff(workers, {
    clock,
    log: createLog({ level: 'silent' }),
    begin: () => ({ do: 'useDatabase' }),
    onNews: () => undefined,
    onEnded: () => undefined,
    start() {
      let onNews: (news: News) => void = () => undefined;
      let onExit: (how: string) => void = () => undefined;
      const orders: string[] = [];
      started.push({ orders, say: (news) => onNews(news), end: (how = 'SIGKILL') => onExit(how) });
      return {
        tell: (order: Order) => void orders.push(order.do),
        onNews: (listener) => {
          onNews = listener;
        },
        onExit: (listener) => {
          onExit = listener;
        },
      };
    },
  });
  const listening = (worker: FakeWorker | undefined) => worker?.say({ is: 'listening', port: 80 });
  return { clock, started, staff, listening };
}

test('it is ready when all listen', async () => {
  const { started, staff, listening } = makeStaff();
  let ready = false;
  const port = staff.ready.then((found) => {
    ready = true;
    return found;
  });
  listening(started[0]);
  await Promise.resolve();
  expect(ready).toBe(false);
  listening(started[1]);
  expect(await port).toBe(80);
});

test('a worker is told what to do when it listens to orders, and to stop if that was said before', async () => {
  const { started, staff } = makeStaff(1);
  expect(started[0]?.orders).toEqual([]);
  const stopped = staff.stop();
  started[0]?.say({ is: 'attentive' });
  expect(started[0]?.orders).toEqual(['stop', 'useDatabase', 'stop']);
  started[0]?.end();
  await stopped;
});

test('one that ends at its start ends the start, with its reason', async () => {
  const { clock, started, staff, listening } = makeStaff();
  listening(started[0]);
  started[1]?.say({ is: 'failing', reason: 'Port 80 is taken.' });
  started[1]?.end('exit code 1');
  await expect(staff.ready).rejects.toThrow(new WorkerError('Port 80 is taken.'));
  await clock.advance(60_000);
  expect(started).toHaveLength(2);
});

test('one that ends later is replaced, ever more slowly while others end too, and quickly again when one held out', async () => {
  const { clock, started, listening } = makeStaff(1);
  listening(started[0]);
  const pauses: number[] = [];
  const endLast = async () => {
    const before = started.length;
    started.at(-1)?.end();
    for (let ms = 0; started.length === before; ms += 50) {
      await clock.advance(50);
      if (started.length > before) pauses.push(ms + 50);
    }
  };
  for (let ends = 0; ends < 9; ends += 1) await endLast();
  expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  await clock.advance(30_000);
  await endLast();
  expect(pauses.at(-1)).toBe(100);
});

test('nobody is started any more when it stops, and it has stopped when all have ended', async () => {
  const { clock, started, staff, listening } = makeStaff();
  for (const worker of started) listening(worker);
  started[0]?.end();
  let stopped = false;
  const stopping = staff.stop().then(() => {
    stopped = true;
  });
  await clock.advance(20_000);
  expect([started.length, stopped]).toEqual([2, false]);
  started[1]?.end('exit code 0');
  await stopping;
  expect([started[1]?.orders, clock.waiting()]).toEqual([['stop'], 0]);
});
