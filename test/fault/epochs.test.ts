import { execFile } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import postgres from 'postgres';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import {
  type FailoverCase,
  type Followed,
  startAddress,
  startFailoverCase,
  startServer,
  stream,
} from '../harness/failover-case.ts';
import type { PrivatePostgres } from '../harness/private-postgres.ts';
import { findSystemPostgres } from '../harness/system-postgres.ts';

// Each test makes two whole servers; on a busy machine that takes its time.
vi.setConfig({ testTimeout: 120_000 });

const installed = await findSystemPostgres();
const tools =
  installed === undefined ? 'skipped: no Postgres with its tools is installed on this machine' : '';

function connect(server: PrivatePostgres, database = 'postgres') {
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  const sql = postgres(url.href, { max: 1, onnotice: () => {} });
  onTestFinished(() => sql.end({ timeout: 1 }));
  return sql;
}

interface Before {
  /** What is in the copy, and what is not; both were read. */
  readonly kept: Followed;
  readonly lost: Followed;
}

const keptIds = ['kept-1', 'kept-2', 'kept-3', 'kept-4', 'kept-5'];
const lostIds = ['lost-1', 'lost-2', 'lost-3', 'lost-4'];

/** Readers stand in the part that is kept, and behind what is lost, when the server changes. */
async function readUpTo(failover: FailoverCase, copy: () => Promise<void>): Promise<Before> {
  for (const id of keptIds) await failover.post([id]);
  const kept = await failover.follow(undefined, 'kept-5');
  await copy();
  for (const id of lostIds) await failover.post([id]);
  return { kept, lost: await failover.follow(kept.cursor, 'lost-4') };
}

/** What readers and writers find on the server that took over. */
async function expectEpoch(failover: FailoverCase, before: Before, reason: RegExp): Promise<void> {
  // Before everything: without an epoch it would be placed far below where the readers stand.
  await failover.post(['new-1'], before.kept.events[0]?.occurredAt ?? '2020-01-01T00:00:00Z');
  await failover.post(['lost-4', 'new-2']);

  const behind = await failover.page(`cursor=${before.lost.cursor}`);
  expect(behind).toMatchObject({ status: 409, body: { code: 'epoch_changed' } });
  const middle = before.kept.events[2]?.cursor ?? '';
  const within = await failover.page(`cursor=${middle}`);
  expect(within).toMatchObject({ status: 409, body: { code: 'epoch_changed' } });

  // Whoever was behind what is lost gets all that is new and nothing again; who was before it gets the rest as well.
  expect((await failover.follow(behind.body.resumeCursor, 'new-2')).ids).toEqual([
    'new-1',
    'lost-4',
    'new-2',
  ]);
  const rest = await failover.follow(within.body.resumeCursor, 'new-2');
  expect(rest.ids).toEqual(['kept-4', 'kept-5', 'new-1', 'lost-4', 'new-2']);
  const places = rest.events.map(({ orderTime }) => orderTime);
  expect(places).toEqual(places.toSorted());

  const described = (await (await failover.ask(`/v1/streams/${stream}`)).json()) as { epoch: number };
  expect(described.epoch).toBe(2);
  const told = failover.collector.logged.filter((line) => line.includes('an epoch begins'));
  expect(told).toHaveLength(1);
  expect(told[0]).toMatch(reason);
  await failover.stop();
}

describe.skipIf(installed === undefined)(`an epoch begins ${tools}`, () => {
  test('G6 G7 when a standby is promoted that lacks the last commits', async () => {
    const primary = await startServer();
    const address = await startAddress(primary);
    const failover = await startFailoverCase(address.url);
    const standby = await startServer({ copyOf: { server: primary, as: 'standby' } });
    const sql = connect(standby);
    const before = await readUpTo(failover, async () => {
      const [sent] = await connect(primary)`select pg_current_wal_flush_lsn()::text as lsn`;
      await eventually('the standby has what there is', async () => {
        const [row] = await sql`select pg_last_wal_replay_lsn() >= ${String(sent?.['lsn'])}::pg_lsn as there`;
        return row?.['there'] === true;
      });
      await sql`alter system set primary_conninfo = ''`;
      await sql`select pg_reload_conf()`;
      await eventually('nothing comes any more', async () => {
        return (await sql`select from pg_stat_wal_receiver`).length === 0;
      });
    });

    await primary.kill();
    // Nothing is taken by a standby that has yet to be promoted.
    address.moveTo(standby.port);
    expect(
      (await failover.ask('/v1/events', { method: 'POST', body: { events: [{ name: 'n' }] } })).status,
    ).toBe(503);
    await sql`select pg_promote()`;

    await expectEpoch(failover, before, /timeline/);
  });

  test('G6 G7 when a base backup is started in place of the server', async () => {
    const primary = await startServer();
    const address = await startAddress(primary);
    const failover = await startFailoverCase(address.url);
    const copies: PrivatePostgres[] = [];
    const before = await readUpTo(failover, async () => {
      copies.push(await startServer({ copyOf: { server: primary, as: 'backup' } }));
    });

    await primary.kill();
    address.moveTo(copies[0]?.port);

    await expectEpoch(failover, before, /base backup/);
  });

  test.each(['another cluster', 'the same cluster'])(
    'G6 G7 when a dump is restored into %s',
    async (place) => {
      const primary = await startServer();
      const address = await startAddress(primary);
      const failover = await startFailoverCase(address.url);
      const target = place === 'the same cluster' ? primary : await startServer();
      await connect(target)`create database restored`;
      const before = await readUpTo(failover, async () => {
        const into = new URL(target.url);
        into.pathname = '/restored';
        const pipe = `"$0/pg_dump" --format=custom "$1" | "$0/pg_restore" --exit-on-error --dbname="$2"`;
        await promisify(execFile)('sh', ['-c', pipe, installed?.binDir ?? '', primary.url, into.href]);
      });

      // As an operator would who wants to keep the address: the databases change names.
      const admin = connect(target, 'template1');
      address.moveTo(undefined);
      if (place === 'another cluster') await primary.kill();
      await admin`select pg_terminate_backend(pid) from pg_stat_activity where datname in ('postgres', 'restored')`;
      await admin`alter database postgres rename to before`;
      await admin`alter database restored rename to postgres`;
      // The passwords of the clusters differ.
      await admin.unsafe(`alter role tidemark password '${new URL(primary.url).password}'`);
      address.moveTo(target.port);

      await expectEpoch(failover, before, place === 'the same cluster' ? /dump/ : /another cluster/);
    },
  );
});

describe('an epoch begins', () => {
  test('G6 G7 when the files of the database are set back under a collector that goes on', async () => {
    const server = await startServer({ server: 'embedded' });
    const failover = await startFailoverCase(server.url);
    const snapshot = join(server.dataDir, 'snapshot');
    const before = await readUpTo(failover, async () => {
      await server.kill();
      await cp(server.clusterDir, snapshot, { recursive: true, preserveTimestamps: true });
      await promisify(execFile)('chown', ['-R', '--reference', server.clusterDir, snapshot]);
      await server.restart();
    });

    await server.kill();
    await rm(server.clusterDir, { recursive: true });
    await promisify(execFile)('mv', [snapshot, server.clusterDir]);
    await server.restart();

    await expectEpoch(failover, before, /earlier state/);
  });

  test('and a server that was only restarted begins none', async () => {
    const server = await startServer({ server: 'embedded' });
    const failover = await startFailoverCase(server.url);
    await failover.post(['one', 'two']);
    const { cursor } = await failover.follow(undefined, 'two');
    await server.kill();
    await server.restart();
    await failover.post(['three']);
    expect((await failover.follow(cursor, 'three')).ids).toEqual(['three']);
    expect(failover.collector.logged.filter((line) => line.includes('epoch'))).toEqual([]);
  });
});
