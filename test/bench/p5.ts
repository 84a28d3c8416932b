import type { Bench } from './bench.ts';
import type { Case, Figure, Measurement } from './figure.ts';
import type { Fresh } from './fresh.ts';
import { createGrown, type Grown } from './grown.ts';
import { fillPast, measureDrop } from './grown-drop.ts';
import { measureReads } from './grown-reads.ts';
import { measureStorage } from './grown-storage.ts';
import { emptyTables } from './postgres.ts';

export interface GrowOptions {
  /** How many events the large stream has; the small one has 100,000. */
  readonly events: number;
  readonly ids: Fresh['ids'];
}

const smallEvents = 100_000;
/** What a round adds to each. */
const sliceEvents = 50_000;
const growthParts = 5;
/** Times may be longer by that much, and rates so much lower. */
const within = 1.15;

/**
 * What it costs that much is stored already. A large stream and a small one are measured in turn, each with a collector and a database of its
 * own on the same Postgres; then a partition of the large one's database is dropped while it goes on growing.
 */
export function createP5({ events, ids }: GrowOptions): Figure {
  return {
    name: 'P5',
    title: `${shown(events)} stored events against ${shown(smallEvents)}`,
    async prepare(bench) {
      const small = await createGrown(bench, ids);
      const large = await createGrown(bench, ids);
      const growth = await growLarge(bench, large, events);
      const stored = { events: events + growth.pastEvents };
      await measureSmall(small);
      return {
        cases: [
          { name: 'large', measure: () => measureLarge(large, stored) },
          { name: 'small', measure: () => measureSmall(small) },
        ],
        once: [
          ...growth.parts,
          { name: 'storage of the large one', measure: () => measureStorage(large.sql, stored.events) },
          {
            name: 'while a partition is dropped',
            measure: () => measureDrop(bench, large),
          },
        ],
        ratios: [
          { of: 'large', to: 'small', value: 'events/s', atLeast: 0.87 },
          { of: 'large', to: 'small', value: 'ms first page', atMost: within },
          { of: 'large', to: 'small', value: 'ms page in the middle', atMost: within },
          { of: 'large', to: 'small', value: 'ms page near the end', atMost: within },
          { of: 'large', to: 'small', value: 'events/s in windows' },
        ],
        notes: [
          `events of ${bench.load.bytesPerEvent} bytes in batches of ${bench.load.eventsPerBatch}, 16 connections, ids ${ids === 'ordered' ? 'by time (UUIDv7)' : 'random (UUIDv4)'}; pages of 1,000, one reader; both vacuumed; each round adds ${shown(sliceEvents)}, after a checkpoint`,
          `the large one's database has ${shown(growth.pastEvents)} events more, in a partition of the past, which retention drops at the end`,
        ],
        async close() {
          await small.close();
          await large.close();
        },
      };
    },
  };
}

interface Growth {
  /** What was measured while it grew, part by part. */
  readonly parts: readonly Case[];
  readonly pastEvents: number;
}

async function growLarge(bench: Bench, large: Grown, events: number): Promise<Growth> {
  const parts: Case[] = [];
  // What the first 100,000 take is for the compiler.
  await large.grow({ events: smallEvents });
  await emptyTables(large.sql);
  let stored = 0;
  for (const upTo of [smallEvents, 3 * smallEvents, ...partsOf(events)]) {
    const { measured } = await large.grow({ events: upTo - stored });
    const eventsPerSecond = measured['events/s'] ?? Number.NaN;
    parts.push(known(`growing from ${shown(stored)} to ${shown(upTo)}`, measured));
    process.stderr.write(`P5: ${shown(upTo)} events, ${shown(Math.round(eventsPerSecond))} a second …\n`);
    stored = upTo;
  }
  const pastEvents = Math.ceil(events / 10);
  await fillPast(bench, large, pastEvents);
  await settle(large);
  return { parts, pastEvents };
}

function partsOf(events: number): readonly number[] {
  const whole = Array.from({ length: growthParts }, (_, part) =>
    Math.round((events * (part + 1)) / growthParts),
  );
  return whole.filter((upTo) => upTo > 3 * smallEvents);
}

function known(name: string, measured: Measurement): Case {
  return { name, measure: () => Promise.resolve(measured) };
}

async function measureLarge(large: Grown, stored: { events: number }): Promise<Measurement> {
  const reads = await measureReads(large);
  await large.sql`checkpoint`;
  const { sent, measured } = await large.grow({ events: sliceEvents });
  stored.events += sent.events;
  return { ...measured, ...reads };
}

async function measureSmall(small: Grown): Promise<Measurement> {
  await emptyTables(small.sql);
  await small.grow({ events: smallEvents });
  await settle(small);
  const reads = await measureReads(small);
  await small.sql`checkpoint`;
  const { measured } = await small.grow({ events: sliceEvents });
  return { ...measured, ...reads };
}

/** What the autovacuum does sooner or later: until then the first to read a page marks it as seen by all, and writes it to the log once more. */
async function settle({ sql }: Grown): Promise<void> {
  await sql`vacuum analyze tidemark.events, tidemark.claims`;
}

function shown(events: number): string {
  return events.toLocaleString('en');
}
