import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { type Bundle, bundleCollector } from '../harness/bundle.ts';
import { type PrivatePostgres, startPrivatePostgres } from '../harness/private-postgres.ts';
import type { Weather } from '../harness/proxy.ts';
import { createRandom, type Random } from '../harness/seed.ts';
import { findSystemPostgres } from '../harness/system-postgres.ts';
import { type Bed, makeBed } from '../torture/bed.ts';
import { chanceOf } from '../torture/chance.ts';
import { checkStored } from '../torture/check-stored.ts';
import type { Collector } from '../torture/collectors.ts';
import { readAll } from '../torture/readers.ts';
import type { StreamRecord } from '../torture/record.ts';
import { startWriters, type WriteCounts, type Writers } from '../torture/writers.ts';

// Clients that send, send again and break off, several collectors of which one has a spool, and one thing at a time that goes wrong. The
// runs of the torture do all of it at once, and for longer.

const seed = createRandom().below(1_000_000);
const chance = chanceOf(seed);
const random: Random = chance('faults');

const servers: readonly ('embedded' | 'system')[] =
  (await findSystemPostgres()) === undefined ? ['embedded'] : ['embedded', 'system'];

let bundle: Bundle;

beforeAll(async () => {
  bundle = await bundleCollector();
}, 60_000);

afterAll(() => bundle?.remove());

describe.each(servers)('with the %s Postgres', (server) => {
  let postgres: PrivatePostgres;
  let bed: Bed;
  let halted: Load;
  let haltedAtMs: number;
  /** What only clients see is the same whatever server is behind. */
  const first = server === servers[0];

  beforeAll(async () => {
    postgres = await startPrivatePostgres({ server });
    console.log(`Postgres: ${postgres.program}, seed ${seed}`);
    bed = await makeBed({ postgres, bundle, collectors: 3, spools: 1, databaseNetwork: true });
    if (!first) return;
    // The longest fault: it goes on beside the others.
    halted = await startLoad('halted', bed.collectors);
    await halted.some();
    bed.collectors[2]?.halt();
    haltedAtMs = performance.now();
  }, 90_000);

  afterAll(async () => {
    await bed?.close();
    await postgres?.stop();
  });

  interface Load {
    readonly counts: WriteCounts;
    /** Until so many more requests were answered. */
    some(requests?: number): Promise<void>;
    /** Ends it, and gives everything that is wrong with what was stored of it. */
    judge(): Promise<readonly string[]>;
  }

  async function startLoad(name: string, collectors: readonly Collector[]): Promise<Load> {
    const streams = [await bed.makeStream(`${name}-a`, 0), await bed.makeStream(`${name}-b`, 200)];
    const surprises: string[] = [];
    const onSurprise = (error: unknown): void => void surprises.push(String(error));
    const writers = startWriters({
      ...{
        name,
        writers: 6,
        chance,
        http: bed.http,
        collectors,
        streams,
        clockwork: bed.clockwork,
        onSurprise,
      },
      batchEventsMax: 40,
      pauseMsMax: 20,
      twinPercent: 10,
    });
    return {
      counts: writers.counts,
      some: (requests = 25) => answered(writers, requests),
      async judge() {
        await writers.stop();
        const end = AbortSignal.timeout(30_000);
        await writers.settle(end);
        await bed.drained();
        const wrong = await Promise.all(streams.map((stream) => judgeStream(stream, onSurprise)));
        expect(streams.reduce((sum, { counts }) => sum + counts.acknowledged, 0)).toBeGreaterThan(0);
        return [...wrong.flat(), ...surprises, ...bed.surprises];
      },
    };
  }

  async function judgeStream(
    stream: StreamRecord,
    onSurprise: (error: unknown) => void,
  ): Promise<readonly string[]> {
    // What is below the watermark is all there is once it has passed the last event.
    const last = bed.clockwork.read().micros + 1_000_000n;
    const reading = { http: bed.http, collectors: bed.collectors.slice(0, 2), onSurprise };
    const end = AbortSignal.timeout(20_000);
    for (;;) {
      const full = await readAll(reading, stream.name, chance(`full ${stream.name}`), end);
      if (full.watermark < last) {
        await sleep(50);
        continue;
      }
      return checkStored(stream.history(full, undefined), true).map(
        ({ kind, detail }) => `${kind}: ${detail}`,
      );
    }
  }

  const inWeather = async (set: (weather: () => Weather) => void, weather: () => Weather, load: Load) => {
    set(weather);
    await load.some();
    set(() => ({ kind: 'fine' }));
    await load.some();
  };

  test('G1 G2 a collector that is killed in the middle of batches loses nothing, and nothing is stored twice', async () => {
    const load = await startLoad('killed', bed.collectors.slice(0, 2));
    for (const collector of bed.collectors.slice(0, 2)) {
      await load.some();
      await collector.kill();
      await load.some(5);
      await collector.start();
    }
    await load.some();
    expect(await load.judge()).toEqual([]);
  }, 60_000);

  test('G1 G2 nor does Postgres, killed and started again', async () => {
    const load = await startLoad('crashed', bed.collectors.slice(0, 2));
    for (let turn = 0; turn < 2; turn += 1) {
      await load.some();
      await postgres.kill();
      await load.some(5);
      await postgres.restart();
    }
    await load.some();
    expect(await load.judge()).toEqual([]);
    expect(load.counts.spooled).toBeGreaterThan(0);
  }, 60_000);

  test.runIf(first)(
    'G1 G2 G3 nor do connections of clients that are cut, slow, half closed or silent',
    async () => {
      const load = await startLoad('clients', bed.collectors.slice(0, 2));
      await inWeather(
        (weather) => {
          bed.setWeather(weather);
          for (const collector of bed.collectors) collector.cut();
        },
        () =>
          random.oneOf<Weather>([
            { kind: 'requestCut', afterBytes: random.below(20_000) },
            { kind: 'slow', ms: random.below(100) },
            { kind: 'halfClosed', side: 'client', afterBytes: random.below(20_000) },
            { kind: 'halfClosed', side: 'server', afterBytes: random.below(1_000) },
            { kind: 'replyLost', afterBytes: random.below(1_000) },
            { kind: 'fine' },
          ]),
        load,
      );
      expect(await load.judge()).toEqual([]);
      expect(load.counts.unknown).toBeGreaterThan(0);
    },
    60_000,
  );

  test('G1 G2 nor do connections to Postgres', async () => {
    const load = await startLoad('network', bed.collectors.slice(0, 2));
    await inWeather(
      (weather) => bed.setDatabaseWeather(weather),
      () =>
        random.oneOf<Weather>([
          { kind: 'requestCut', afterBytes: 1_000 + random.below(60_000) },
          { kind: 'slow', ms: random.below(100) },
          { kind: 'halfClosed', side: 'client', afterBytes: 1_000 + random.below(60_000) },
          { kind: 'halfClosed', side: 'server', afterBytes: 500 + random.below(5_000) },
          { kind: 'replyLost', afterBytes: 500 + random.below(5_000) },
          { kind: 'silent', afterBytes: 1_000 + random.below(60_000) },
          { kind: 'fine' },
        ]),
      load,
    );
    expect(await load.judge()).toEqual([]);
  }, 60_000);

  test.runIf(first)(
    'G2 replies that are lost after the commit bring everything once more, and it is stored once',
    async () => {
      const load = await startLoad('replies', bed.collectors.slice(0, 2));
      await load.some();
      bed.setWeather(() => ({ kind: 'replyLost', afterBytes: 0 }));
      for (const collector of bed.collectors) collector.cut();
      const before = load.counts.unknown;
      await until(() => load.counts.unknown > before + 30);
      bed.setWeather(() => ({ kind: 'fine' }));
      await load.some();
      expect(await load.judge()).toEqual([]);
      expect(load.counts.duplicates).toBeGreaterThan(0);
    },
    60_000,
  );

  test.runIf(first)(
    'G1 G2 nor does a Postgres that has no connection left for us',
    async () => {
      const load = await startLoad('exhausted', bed.collectors.slice(0, 2));
      await load.some();
      // First away from the collectors, so that they do not take them again.
      bed.setDatabaseWeather(() => ({ kind: 'refused' }));
      const taken = await takeConnections(postgres.url);
      bed.setDatabaseWeather(() => ({ kind: 'fine' }));
      const before = load.counts.requests;
      await until(() => load.counts.requests > before + 30);
      await taken.giveBack();
      await load.some();
      expect(await load.judge()).toEqual([]);
      expect(load.counts.spooled).toBeGreaterThan(0);
      expect(load.counts.unknown).toBeGreaterThan(0);
    },
    60_000,
  );

  test.runIf(first)(
    'G1 G2 G9 a collector that was stopped for ten seconds goes on, and holds up nobody meanwhile',
    async () => {
      await sleep(Math.max(0, haltedAtMs + 10_000 - performance.now()));
      bed.collectors[2]?.goOn();
      await halted.some();
      expect(await halted.judge()).toEqual([]);
    },
    60_000,
  );
});

/** Waits until so many more requests were answered. */
async function answered({ counts }: Writers, requests: number): Promise<void> {
  const goal = counts.latenciesMs.length + requests;
  await until(() => counts.latenciesMs.length >= goal);
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(20_000);
  while (!condition()) {
    deadline.throwIfAborted();
    await sleep(10);
  }
}

/** Sessions of others, as many as Postgres allows. */
async function takeConnections(url: string): Promise<{ giveBack: () => Promise<void> }> {
  const sessions: Sql[] = [];
  // Postgres needs a moment to notice that a session has ended.
  for (let refusals = 0; refusals < 5 && sessions.length < 1_000; ) {
    const session = connect(url, 'other', 1, {});
    sessions.push(session);
    const refused = await session`select 1`.then(
      () => false,
      (error: unknown) => error instanceof Error && 'code' in error && error.code === '53300',
    );
    refusals = refused ? refusals + 1 : 0;
    if (refused) await sleep(20);
  }
  return {
    async giveBack() {
      await Promise.all(sessions.map((session) => session.end({ timeout: 1 })));
    },
  };
}
