import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startCollectorProcess, type CollectorProcess } from '../harness/collector-process.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { createRandom, runs } from '../harness/seed.ts';
import { faultOf } from './judge.ts';
import { growthOf } from './memory.ts';
import { fuzz, unavailableOf } from './run.ts';
import type { WireReply } from './replies.ts';

let database: TestDatabase;
let collector: CollectorProcess;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await startCollectorProcess({
    environment: { DATABASE_URL: database.url, TIDEMARK_MAX_STREAMS: '100' },
  });
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

const headers = () => ({
  authorization: `Bearer ${collector.keys.admin}`,
  'content-type': 'application/json',
});

test('G5 hostile requests neither crash the collector nor bring it to answer 5xx', async () => {
  const seed = createRandom().below(2 ** 31);
  const report = await fuzz({ collector, seed, count: 800, connections: 12 });
  expect(report.findings).toEqual([]);
  expect(report.failures).toBe(0);
  expect(unavailableOf(report)).toBeLessThan(0.01);
  expect(report.sent).toBe(800);
  // It was not all refused at the door.
  expect(report.statuses['200']).toBeGreaterThan(80);
  expect(report.statuses['400']).toBeGreaterThan(80);
  expect((await fetch(`${collector.url}/readyz`)).status).toBe(200);
});

test('any JSON comes back as it was sent, and what looks like code is data', async () => {
  await fetch(`${collector.url}/v1/streams/json`, {
    method: 'PUT',
    headers: headers(),
    body: '{"watermarkDelayMs":0}',
  });
  const keys = fc.oneof(
    fc.constantFrom('__proto__', 'constructor', 'toString', 'a'),
    fc.string({ unit: 'grapheme' }),
  );
  const storable = (text: string) => !text.includes('\0');
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: 'grapheme' }).filter(storable),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(null, true, false),
      fc.array(tie('any'), { maxLength: 4 }),
      fc.dictionary(keys.filter(storable), tie('any'), { maxKeys: 4 }),
    ),
  })).any;
  let number = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.dictionary(keys.filter(storable), value), { minLength: 1, maxLength: 20 }),
      async (many) => {
        const { nextCursor } = (await read('from=latest')) as { nextCursor: string };
        const events = many.map((props) => ({
          id: `json-${(number += 1)}`,
          stream: 'json',
          name: 'a',
          props,
        }));
        const sent = await fetch(`${collector.url}/v1/events`, {
          method: 'POST',
          headers: headers(),
          body: JSON.stringify({ events }),
        });
        expect(await sent.json()).toMatchObject({ accepted: many.length, rejected: 0 });
        const page = (await read(`cursor=${nextCursor}&wait=20`)) as {
          events: { id: string; props: object }[];
        };
        const found = new Map(page.events.map(({ id, props }) => [id, props]));
        // As JSON has it: minus zero is zero there, in Postgres too.
        for (const { id, props } of events) expect(found.get(id)).toEqual(JSON.parse(JSON.stringify(props)));
        expect(Object.hasOwn(Object.prototype, 'a')).toBe(false);
      },
    ),
    runs(25),
  );
});

async function read(query: string): Promise<unknown> {
  return (await fetch(`${collector.url}/v1/streams/json/events?${query}`, { headers: headers() })).json();
}

describe('what looks at the replies', () => {
  const request = { bytes: Buffer.alloc(0), method: 'GET', sound: true };
  const reply = (status: number, body: string, type = 'application/problem+json'): WireReply => ({
    status,
    headers: new Map([['content-type', type]]),
    body: Buffer.from(body),
    whole: true,
  });
  const problem = (code: string, detail = 'no') => JSON.stringify({ code, detail });

  test.each([
    ['a failure', [reply(500, problem('internal'))], /^500/],
    ['no reply', [], /^0 replies/],
    ['a reply that does not end', [{ ...reply(200, '{'), whole: false }], /without an end/],
    ['two replies', [reply(200, '{}'), reply(200, '{}')], /^2 replies/],
    ['a refusal that is no problem', [reply(404, 'not found', 'text/plain')], /as text\/plain/],
    ['an unknown code', [reply(404, problem('lost'))], /with code lost/],
    ['a code of another status', [reply(404, problem('malformed'))], /with code malformed/],
    ['a problem that is cut', [reply(404, '{"code":')], /not JSON/],
    [
      'a detail of our inside',
      [reply(400, problem('malformed', 'at read (/x/app.ts:3:1)'))],
      /tells too much/,
    ],
    ['no HTTP', [reply(Number.NaN, 'hello')], /^no status/],
  ])('finds %s', (_, replies, fault) => {
    expect(faultOf(request, replies)).toMatch(fault);
  });

  test('lets an honest refusal pass, and anything for a request that is broken, except a failure', () => {
    expect(faultOf(request, [reply(404, problem('not_found'))])).toBeUndefined();
    expect(faultOf({ ...request, sound: false }, [])).toBeUndefined();
    expect(faultOf({ ...request, sound: false }, [reply(500, problem('internal'))])).toMatch(/^500/);
  });

  test('sees memory that stays, and not what comes and goes', () => {
    const sample = (heap: number) => ({ heap, resident: 100 });
    const saw = Array.from({ length: 50 }, (_, i) => sample(30 + (i % 10) * 10));
    expect(growthOf(saw).heap).toBe(0);
    expect(growthOf(saw.map(({ heap }, i) => sample(heap + i * 2))).heap).toBeGreaterThan(48);
  });
});
