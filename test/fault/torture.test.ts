import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PrivatePostgres, startPrivatePostgres } from '../harness/private-postgres.ts';
import { createRandom } from '../harness/seed.ts';
import { type Bundle, bundleCollector } from '../harness/bundle.ts';
import { type Hunts, prepareHunts } from '../torture/hunts.ts';
import { tellsApart } from '../torture/locks.ts';
import { huntTable, runTable, wrongOf } from '../torture/report.ts';
import { run } from '../torture/run.ts';
import { control, wrongVariants } from '../torture/variants.ts';

// The short form of `pnpm torture`.

const seed = createRandom().below(1_000_000);
const never = new AbortController().signal;
const startMsMax = 60_000;

let postgres: PrivatePostgres;
let bundle: Bundle;

beforeAll(async () => {
  bundle = await bundleCollector();
  postgres = await startPrivatePostgres();
}, startMsMax);

afterAll(async () => {
  await postgres?.stop();
  await bundle?.remove();
});

test('G1 G2 G6 G7 G8 G9 G10 G11 nothing is lost, stored twice, skipped, repeated, out of order or stuck, and no window changes, while everything around fails', async () => {
  const report = await run({ seed, durationMs: 14_000, postgres, bundle, signal: never });
  console.log(runTable([report]));
  expect(wrongOf(report)).toEqual([]);
  expect(report.acknowledged).toBeGreaterThan(0);
  expect(report.worked).toBeGreaterThan(0);
  expect(report.panes).toBeGreaterThan(0);
}, 120_000);

describe('a known mistake in the fence, put in on purpose, is caught', () => {
  let hunts: Hunts;

  beforeAll(async () => {
    hunts = await prepareHunts({ seed, postgres, bundle, signal: never });
  }, startMsMax);

  afterAll(() => hunts?.close());

  test.each(wrongVariants.map((variant) => [variant.mistake, variant] as const))(
    '%s',
    async (_, variant) => {
      const hunt = await hunts.hunt(variant, 30_000);
      console.log(huntTable([hunt]));
      expect(hunt).toMatchObject({ caught: true });
    },
    60_000,
  );

  test('append takes its locks exclusively', async () => {
    const locks = await hunts.compareLocks();
    console.log(huntTable([], locks));
    expect(tellsApart(locks)).toBe(true);
  }, 60_000);

  test('G6 G7 and the product itself shows nothing under the same pauses, twins and steps of the clock', async () => {
    const hunt = await hunts.hunt(control, 4_000);
    console.log(huntTable([hunt]));
    expect(hunt).toMatchObject({ found: {}, detail: '' });
    expect(hunt.events).toBeGreaterThan(0);
  }, 60_000);
});
