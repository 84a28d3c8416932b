import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'undici';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { migrate } from '../../collector/src/store/migrate.ts';
import { eventually } from '../harness/eventually.ts';
import type { PrivatePostgres } from '../harness/private-postgres.ts';
import { type Proxy, startProxy, type Weather } from '../harness/proxy.ts';
import type { Bundle } from '../harness/bundle.ts';
import { createClockwork, type Clockwork } from './clockwork.ts';
import { type Collector, createCollector } from './collectors.ts';
import { createHttp, type Http, UnavailableError } from './http.ts';
import { installOutside } from './outside.ts';
import { recordStream, type StreamRecord } from './record.ts';
import { startWatch, type Watch } from './watch.ts';

/** A database of its own and the collectors on it, all running. */
export interface Bed {
  readonly sql: Sql;
  readonly collectors: readonly Collector[];
  readonly http: Http;
  readonly clockwork: Clockwork;
  readonly watch: Watch;
  /** What should never happen, whatever is done to the collectors: answers that no client should get, ends of their own. */
  readonly surprises: string[];
  /** What the network between clients and collectors does with new connections. */
  setWeather(weather: () => Weather): void;
  /** What the network between collectors and Postgres does with new connections; cuts those there are. Needs `databaseNetwork`. */
  setDatabaseWeather(weather: () => Weather): void;
  /** Waits until nothing is left in the spools. */
  drained(): Promise<void>;
  /** Makes a stream with this delay. `delayChanges`: it will not stay. */
  makeStream(name: string, delayMs: number, delayChanges?: boolean): Promise<StreamRecord>;
  close(): Promise<void>;
}

export interface BedOptions {
  readonly postgres: PrivatePostgres;
  readonly bundle: Bundle;
  readonly collectors: number;
  /** Variables of the collectors. */
  readonly environment?: Readonly<Record<string, string>>;
  /** So many of the collectors, the first ones, have a spool. */
  readonly spools?: number;
  /** Postgres is reached through a network with weather of its own. */
  readonly databaseNetwork?: boolean;
  /** Settings of the collectors' database connections, as parameters of its URL. */
  readonly connection?: Readonly<Record<string, string>>;
}

const fine: Weather = { kind: 'fine' };

export async function makeBed(options: BedOptions): Promise<Bed> {
  const url = await createDatabase(options.postgres.url);
  await migrate(url);
  const sql = connect(url, 'torture', 4, {});
  const agent = new Agent({ connections: 64, pipelining: 1 });
  const http = createHttp(agent);
  const watch = startWatch(sql);
  const collectors: Collector[] = [];
  const surprises: string[] = [];
  let weather = (): Weather => fine;
  let databaseWeather = (): Weather => fine;
  const spoolFolder = await mkdtemp(join(tmpdir(), 'tidemark-bed-'));
  let network: Proxy | undefined;

  const close = async (): Promise<void> => {
    await Promise.all(collectors.map((collector) => collector.close()));
    await watch.stop();
    await agent.destroy();
    await sql.end({ timeout: 1 });
    await network?.close();
    await dropDatabase(options.postgres.url, url).catch(() => undefined);
    await rm(spoolFolder, { recursive: true, force: true });
  };

  try {
    await installOutside(sql);
    if (options.databaseNetwork === true) {
      network = await startProxy(() => databaseWeather());
      network.aim(options.postgres.port);
    }
    const databaseUrl = withParameters(through(network, url), options.connection ?? {});
    for (let at = 0; at < options.collectors; at++) {
      const name = `collector ${at}`;
      collectors.push(
        await createCollector({
          name,
          main: options.bundle.main,
          databaseUrl,
          weather: () => weather(),
          onRunning: (running) => watch.collector(name, running),
          onEnded: (what) => surprises.push(what),
          environment: {
            ...options.environment,
            ...(at < (options.spools ?? 0) ? spoolIn(join(spoolFolder, String(at))) : {}),
          },
        }),
      );
    }
    await Promise.all(collectors.map((collector) => collector.start()));
  } catch (error) {
    await close();
    throw error;
  }

  const clockwork = createClockwork(sql);
  return {
    sql,
    collectors,
    http,
    clockwork,
    watch,
    surprises,
    setWeather(next) {
      weather = next;
    },
    setDatabaseWeather(next) {
      databaseWeather = next;
      network?.cut();
    },
    async drained() {
      await eventually(
        'the spools are empty',
        async () => {
          const waiting = await Promise.all(collectors.slice(0, options.spools ?? 0).map(spooledBytes));
          return waiting.every((bytes) => bytes === 0);
        },
        drainMsMax,
      );
    },
    async makeStream(name, delayMs, delayChanges = false) {
      await putDelay({ http, collectors }, name, delayMs, AbortSignal.timeout(10_000));
      const record = recordStream(name, delayChanges ? undefined : BigInt(delayMs) * 1_000n, clockwork);
      watch.follow(record);
      return record;
    },
    close,
  };
}

const drainMsMax = 30_000;

/** A spool that is used sooner than by default: the faults are short. */
function spoolIn(folder: string): Record<string, string> {
  return { TIDEMARK_SPOOL_DIR: folder, TIDEMARK_LIMIT_SPOOL_AFTER_MS: '300' };
}

/** Undefined: it does not say just now. */
async function spooledBytes({ url }: Collector): Promise<number | undefined> {
  try {
    const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(2_000) })).text();
    const [, bytes] = /^tidemark_spool_waiting_bytes (\S+)$/m.exec(text) ?? [];
    return bytes === undefined ? undefined : Number(bytes);
  } catch {
    return undefined;
  }
}

/** Sets a stream's delay by way of any collector that can do it now. */
export async function putDelay(
  { http, collectors }: Pick<Bed, 'http' | 'collectors'>,
  stream: string,
  delayMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (let turn = 0; ; turn++) {
    signal.throwIfAborted();
    const collector = collectors[turn % collectors.length];
    if (collector === undefined) throw new Error('there is no collector');
    try {
      const patience = AbortSignal.any([signal, AbortSignal.timeout(2_000)]);
      await http.put(collector.url, stream, { watermarkDelayMs: delayMs }, patience);
      return;
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      await sleep(50);
    }
  }
}

async function createDatabase(adminUrl: string): Promise<string> {
  const name = `torture_${randomBytes(4).toString('hex')}`;
  await asAdmin(adminUrl, (sql) => sql.unsafe(`create database ${name} template template0`));
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** The server is the run's own and goes away with all its databases: this only keeps long runs small. */
async function dropDatabase(adminUrl: string, url: string): Promise<void> {
  const name = new URL(url).pathname.slice(1);
  await asAdmin(adminUrl, (sql) => sql.unsafe(`drop database ${name} with (force)`));
}

async function asAdmin(adminUrl: string, task: (sql: Sql) => PromiseLike<unknown>): Promise<void> {
  const sql = connect(adminUrl, 'torture admin', 1, { statement_timeout: 30_000 });
  try {
    await task(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function through(network: Proxy | undefined, url: string): string {
  if (network === undefined) return url;
  const changed = new URL(url);
  changed.port = String(network.port);
  return changed.href;
}

function withParameters(url: string, parameters: Readonly<Record<string, string>>): string {
  const changed = new URL(url);
  for (const [name, value] of Object.entries(parameters)) changed.searchParams.set(name, value);
  return changed.href;
}
