import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleCollector } from '../harness/bundle.ts';
import { startCollectorProcess } from '../harness/collector-process.ts';
import { type CpuMeter, processMeter } from './cpu.ts';
import { type Generator, startGenerator } from './generate.ts';
import { type Load, makeLoad, writeLoad } from './load.ts';
import { type BenchPostgres, startBenchPostgres } from './postgres.ts';

/** What all figures share. */
export interface Bench {
  readonly postgres: BenchPostgres;
  readonly generator: Generator;
  readonly load: Load;
  /** For files that come and go with the run. */
  readonly folder: string;
  /** A collector process on a database of the bench's Postgres. */
  startCollector(
    databaseUrl: string,
    environment?: Readonly<Record<string, string>>,
  ): Promise<BenchCollector>;
  /** Lets the generator send `load`: a figure may have given it another one. */
  giveLoad(): Promise<void>;
  stop(): Promise<void>;
}

export interface BenchCollector {
  readonly url: string;
  readonly keys: { readonly write: string; readonly read: string; readonly admin: string };
  readonly cpu: CpuMeter;
  readonly pid: number;
  /** The last of what it printed. */
  output(): string;
  stop(): Promise<void>;
}

export interface BenchOptions {
  readonly batches: number;
  readonly eventsPerBatch: number;
  /** Where collectors leave their CPU profiles; undefined: none is made. */
  readonly profileFolder: string | undefined;
  /** Arguments of Node for the collectors. */
  readonly nodeArguments?: readonly string[];
}

/** So old are the events of the load: none of them may come from the future while it is sent. */
const loadAgeMs = 600_000;

export async function startBench(options: BenchOptions): Promise<Bench> {
  const { batches, eventsPerBatch, profileFolder } = options;
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-files-'));
  if (profileFolder !== undefined) await mkdir(profileFolder, { recursive: true });
  const load = makeLoad({ batches, eventsPerBatch, startMs: Date.now() - loadAgeMs });
  const file = join(folder, 'bodies.ndjson');
  await writeLoad(load, file);
  const postgres = await startBenchPostgres();
  const generator = startGenerator();
  // As it is published; a profile should name the sources, though.
  const bundle = profileFolder === undefined ? await bundleCollector() : undefined;
  const profiling = profileFolder === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profileFolder];
  const nodeArguments = [...(options.nodeArguments ?? []), ...profiling];
  const program = { nodeArguments, ...(bundle && { main: bundle.main }) };
  return {
    postgres,
    generator,
    load,
    folder,
    async startCollector(databaseUrl, more) {
      const environment = { DATABASE_URL: databaseUrl, ...more };
      const collector = await startCollectorProcess({ environment, ...program });
      return { ...collector, cpu: processMeter(collector.pid) };
    },
    giveLoad: () => generator.load(file),
    async stop() {
      await generator.stop();
      await postgres.stop();
      await bundle?.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
