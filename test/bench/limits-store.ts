import { join } from 'node:path';
import { defaultLimits } from '@tidemark/core/wire';
import { createBatchIntake } from '../../collector/src/ingest/batch.ts';
import { decodeBatch } from '../../collector/src/ingest/decode.ts';
import { type AppendRow, createAppend } from '../../collector/src/store/append.ts';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import type { Bench } from './bench.ts';
import { type Copier, createCopier, exportRows } from './copy.ts';
import { measureEvents, ownMeter } from './cpu.ts';
import type { Case } from './figure.ts';
import { claimColumns, copyMeters, eventColumns } from './ingest.ts';
import type { Load } from './load.ts';
import { emptyTables } from './postgres.ts';

const groupRows = 2_000;
/** Connections at most, for appends and for COPY. */
const writersMax = 3;
const copiersMax = 2;

export interface StoreCases {
  readonly cases: readonly Case[];
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/** What Postgres takes of the load's rows: by the collector's append, and by COPY into the same tables, on one connection and on more. */
export async function createStoreCases({ postgres, load, folder }: Bench): Promise<StoreCases> {
  const databaseUrl = await postgres.createDatabase();
  const sql = connect(databaseUrl, 'tidemark bench', 1, { statement_timeout: 0 });
  const [stream] = await sql<[{ stream_id: number }]>`
    insert into tidemark.streams (name, watermark_delay) values (${load.stream}, 86400000000) returning stream_id`;
  const rows = await rowsOf(load);
  const groups = Array.from({ length: Math.ceil(rows.length / groupRows) }, (_, at) =>
    rows.slice(at * groupRows, (at + 1) * groupRows),
  );
  const pools = Array.from({ length: writersMax }, (_, at) =>
    connect(databaseUrl, 'tidemark bench append', at + 1, {}),
  );

  async function append(pool: Sql, writers: number): Promise<void> {
    const waiting = groups.values();
    const appendGroup = createAppend(pool);
    const write = async (): Promise<void> => {
      for (const group of waiting) {
        const streamIds = group.map(() => stream.stream_id);
        const taken = await appendGroup(group, streamIds);
        if (taken.length > 0) throw new Error(`${taken.length} ids were taken`);
      }
    };
    await Promise.all(Array.from({ length: writers }, write));
  }

  const appendCase = (pool: Sql, at: number): Case => ({
    name: `append on ${countOf(at + 1)}`,
    async measure() {
      await emptyTables(sql);
      const meters = { Postgres: postgres.cpu, 'this process': ownMeter };
      return (await measureEvents(rows.length, meters, () => append(pool, at + 1))).measured;
    },
  });

  const [first] = pools;
  if (first !== undefined) await append(first, 1);
  const shares = await exportShares(databaseUrl, folder);
  const copiers: Copier[] = [];
  while (copiers.length < copiersMax) copiers.push(await createCopier(databaseUrl));

  const copyCase = (copier: Copier, at: number): Case => ({
    name: `COPY on ${countOf(at + 1)}`,
    async measure() {
      await emptyTables(sql);
      const own = shares.map((share, number) => ({ share, copier: copiers[number % (at + 1)] ?? copier }));
      const copyAll = (by: Copier) =>
        by.copy(own.filter((one) => one.copier === by).flatMap(({ share }) => share));
      const meters = copyMeters(copiers[0] ?? copier, postgres.cpu);
      const { measured } = await measureEvents(rows.length, meters, () =>
        Promise.all(copiers.slice(0, at + 1).map(copyAll)),
      );
      const [stored] = await sql<[{ events: number }]>`
        select count(*)::integer as events from tidemark.events join tidemark.claims using (stream_id, seq)`;
      if (stored.events !== rows.length)
        throw new Error(`${rows.length} events: the tables have ${stored.events}`);
      return measured;
    },
  });

  return {
    cases: [...pools.map(appendCase), ...copiers.map(copyCase)],
    notes: [
      `append: the same rows in groups of ${groupRows.toLocaleString('en')} through the driver, from this process`,
      `COPY: the same rows into the same tables, by ${copiers[0]?.program}; on two connections half of them each (the CPU of the first is shown)`,
    ],
    async close() {
      for (const pool of pools) await pool.end();
      for (const copier of copiers) await copier.close();
      await sql.end();
    },
  };
}

function countOf(connections: number): string {
  return connections === 1 ? '1 connection' : `${connections} connections`;
}

/** All that is in the tables, as parts for COPY, in as many shares as there may be connections. */
async function exportShares(
  databaseUrl: string,
  folder: string,
): Promise<readonly (readonly { readonly table: string; readonly file: string }[])[]> {
  const shares = [];
  for (let share = 0; share < copiersMax; share += 1) {
    const files = {
      claims: join(folder, `limits-claims-${share}.copy`),
      events: join(folder, `limits-events-${share}.copy`),
    };
    // By transactions, as several writers would have it.
    const isShared = `(seq / 65536) % ${copiersMax} = ${share}`;
    await exportRows(
      databaseUrl,
      `select ${eventColumns} from tidemark.events where ${isShared} order by seq`,
      files.events,
    );
    await exportRows(
      databaseUrl,
      `select ${claimColumns} from tidemark.claims where ${isShared}`,
      files.claims,
    );
    shares.push([
      { table: `tidemark.claims (${claimColumns})`, file: files.claims },
      { table: `tidemark.events (${eventColumns})`, file: files.events },
    ]);
  }
  return shares;
}

/** The load as the collector's own intake makes it into rows. */
async function rowsOf({ bodies }: Load): Promise<readonly AppendRow[]> {
  const rows: AppendRow[] = [];
  const takeBatch = createBatchIntake({
    async submit(submitted) {
      rows.push(...submitted);
      return { durability: 'committed', outcomes: submitted.map(() => ({ outcome: 'stored' })) };
    },
    newId() {
      throw new Error('an event of the load has no id');
    },
    asks: () => undefined,
    onDeadLetters() {
      throw new Error('an event of the load was rejected');
    },
  });
  const receivedAt = BigInt(Date.now()) * 1_000n;
  for (const body of bodies) {
    const decoded = decodeBatch(body, { limits: defaultLimits, defaultStream: 'default' });
    if (!decoded.ok) throw new Error(decoded.problem.detail);
    await takeBatch(decoded.batch, {
      receivedAt,
      keyId: 'bench',
      mayWrite: () => true,
      sender: () => ({ ip: null, userAgent: null }),
    });
  }
  return rows;
}
