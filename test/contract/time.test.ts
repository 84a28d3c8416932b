import { parseTime, type TimeReply } from '@tidemark/core/wire';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createClock } from '../../collector/src/clock.ts';
import { serveCollector, type ServedCollector } from '../harness/served-collector.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let collector: ServedCollector;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await serveCollector(database.url);
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

async function readTimes(from: ServedCollector): Promise<{ received: bigint; responded: bigint }> {
  const response = await from.app.request('/v1/time');
  expect(response.status).toBe(200);
  const reply = (await response.json()) as TimeReply;
  return { received: parseTime(reply.receivedAt) ?? 0n, responded: parseTime(reply.respondedAt) ?? 0n };
}

async function databaseNow(from: ServedCollector): Promise<bigint> {
  const [row] = await from.database.control<[{ now: bigint }]>`select tidemark.clock() as now`;
  return row.now;
}

test('the time needs no key, may be read by any page, and is never cached', async () => {
  const response = await collector.app.request('/v1/time', {
    headers: { Origin: 'https://shop.example.com' },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(response.headers.get('access-control-allow-origin')).toBe('*');
  expect(await response.json()).toEqual({
    receivedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
    respondedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
  });
});

test.each([
  ['right', 0],
  ['an hour fast', 3_600_000],
  ['a day slow', -86_400_000],
])('the time is that of the database, when the clock of this machine is %s', async (_, wrongMs) => {
  const clock = createClock();
  const off = await serveCollector(database.url, {
    clock: { ...clock, wallMicros: () => clock.wallMicros() + BigInt(wrongMs) * 1_000n },
  });
  onTestFinished(off.stop);
  const before = await databaseNow(off);
  const { received, responded } = await readTimes(off);
  const after = await databaseNow(off);
  expect(responded).toBeGreaterThanOrEqual(received);
  // Half of a round trip on loopback is the most that the measurement may be wrong.
  expect(received).toBeGreaterThan(before - 100_000n);
  expect(responded).toBeLessThan(after + 100_000n);
  const warned = off.logged.some((line) => line.includes('more than a second apart'));
  expect(warned).toBe(wrongMs !== 0);
});
