import postgres from 'postgres';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { at, startAddress, startFailoverCase, startServer, stream } from '../harness/failover-case.ts';
import type { PrivatePostgres } from '../harness/private-postgres.ts';
import { createRandom } from '../harness/seed.ts';
import { findSystemPostgres } from '../harness/system-postgres.ts';

vi.setConfig({ testTimeout: 120_000 });

const installed = await findSystemPostgres();
const tools =
  installed === undefined ? 'skipped: no Postgres with its tools is installed on this machine' : '';

/** A collector that writes on a primary and reads on its standby, with the standby in the test's hand. */
async function prepare() {
  const primary = await startServer();
  const standby = await startServer({ copyOf: { server: primary, as: 'standby' } });
  const address = await startAddress(standby);
  const failover = await startFailoverCase(primary.url, { TIDEMARK_READ_DATABASE_URL: address.url });
  const sql = connect(standby);
  const metric = async (name: string): Promise<number> => {
    const text = await (await failover.ask('/metrics')).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  };
  await eventually('the standby is read from', async () => (await readersOn(sql)) > 0);
  await eventually('it is well', async () => (await metric('tidemark_standby_away')) === 0);
  return { primary, standby, address, failover, sql, metric };
}

function connect(server: PrivatePostgres) {
  const sql = postgres(server.url, { max: 1, onnotice: () => {} });
  onTestFinished(() => sql.end({ timeout: 1 }));
  return sql;
}

async function readersOn(sql: postgres.Sql): Promise<number> {
  return (await sql`select from pg_stat_activity where application_name = 'tidemark read'`).length;
}

describe.skipIf(installed === undefined)(`a standby that is read from ${tools}`, () => {
  test('G6 G7 gives every event once and in order, while it falls behind and catches up', async () => {
    const { failover, sql } = await prepare();
    const random = createRandom();
    const sent: string[] = [];
    let writing = true;
    const writer = (async () => {
      for (let batch = 0; batch < 60; batch += 1) {
        const ids = Array.from({ length: 1 + random.below(5) }, (_, index) => `${batch}-${index}`);
        await failover.post(ids);
        sent.push(...ids);
      }
      writing = false;
    })();
    const waverer = (async () => {
      for (let paused = true; writing; paused = !paused) {
        await (paused ? sql`select pg_wal_replay_pause()` : sql`select pg_wal_replay_resume()`);
        const until = sent.length + 1 + random.below(15);
        await eventually('some more came', () => sent.length >= until || !writing, 30_000);
      }
      await sql`select pg_wal_replay_resume()`;
    })();
    const seen: string[] = [];
    const places: string[] = [];
    let cursor: string | undefined;
    await eventually(
      'all are read',
      async () => {
        const { status, body } = await failover.page(
          `${cursor === undefined ? '' : `cursor=${cursor}&`}limit=${1 + random.below(7)}`,
        );
        expect(status).toBe(200);
        seen.push(...body.events.map(({ id }) => id));
        places.push(...body.events.map((event) => event.cursor));
        cursor = body.nextCursor;
        return !writing && seen.length >= sent.length;
      },
      60_000,
    );
    await Promise.all([writer, waverer]);
    expect(seen.toSorted()).toEqual(sent.toSorted());
    expect(places).toEqual(places.toSorted());
  });

  test('a cursor above its watermark gives an empty page and stays', async () => {
    const { failover, sql, metric } = await prepare();
    await failover.post(['one']);
    await failover.follow(undefined, 'one');
    await sql`select pg_wal_replay_pause()`;
    await failover.post(['two']);
    const described = async () =>
      (await (await failover.ask(`/v1/streams/${stream}`)).json()) as { latestCursor: string };
    const first = await described();
    await eventually(
      'the watermark moves',
      async () => (await described()).latestCursor > first.latestCursor,
    );
    const { latestCursor } = await described();

    const { status, body } = await failover.page(`cursor=${latestCursor}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ events: [], nextCursor: latestCursor, hasMore: false, behindMs: 0 });
    await eventually(
      'it is known to be behind',
      async () => (await metric('tidemark_standby_lag_seconds')) > 0.5,
    );
    await sql`select pg_wal_replay_resume()`;
  });

  test('what it does not know yet comes from the primary: a new stream, and cursors of a new epoch', async () => {
    const { failover, sql } = await prepare();
    await failover.post(['one']);
    const { cursor } = await failover.follow(undefined, 'one');
    await sql`select pg_wal_replay_pause()`;
    const made = await failover.ask('/v1/streams/made', { method: 'PUT', body: {} });
    expect(made.status).toBe(200);
    expect((await failover.ask('/v1/streams/made/events')).status).toBe(200);

    const begun = await failover.ask('/v1/epoch', { method: 'POST' });
    expect(await begun.json()).toMatchObject({ streams: 2 });
    const { earliestCursor } = (await (await failover.ask(`/v1/streams/${stream}`)).json()) as {
      earliestCursor: string;
    };
    const { status, body } = await failover.page(`cursor=${earliestCursor}`);
    expect([status, body.events.map(({ id }) => id)]).toEqual([200, ['one']]);
    // The standby still goes by the old epoch, which was true when that cursor was given.
    expect((await failover.page(`cursor=${cursor}`)).status).toBe(200);
    await sql`select pg_wal_replay_resume()`;
    await eventually(
      'the epoch arrives',
      async () => (await failover.page(`cursor=${cursor}`)).status === 409,
    );
  });

  test('G6 while it is away the primary is read, and afterwards it is again', async () => {
    const { failover, sql, standby, address, metric } = await prepare();
    await failover.post(['one']);
    const first = await failover.follow(undefined, 'one');
    address.moveTo(undefined);
    await failover.post(['two']);
    const second = await failover.follow(first.cursor, 'two');
    expect(second.ids).toEqual(['two']);
    expect(await metric('tidemark_standby_away')).toBe(1);
    expect(await readersOn(sql)).toBe(0);

    address.moveTo(standby.port);
    await eventually('it is read from again', async () => (await metric('tidemark_standby_away')) === 0);
    expect(await readersOn(sql)).toBeGreaterThan(0);
    await failover.post(['three']);
    expect((await failover.follow(second.cursor, 'three')).ids).toEqual(['three']);
  });

  test('another cluster is no standby: the primary is read', async () => {
    const primary = await startServer({ server: 'embedded' });
    const other = await startServer();
    const copy = await startFailoverCase(other.url);
    await copy.post(['foreign']);
    const mixed = await startFailoverCase(primary.url);
    await mixed.post(['own']);
    const cluster = connect(primary);
    // What a copy of the database would say of where it comes from.
    const [known] = await cluster`select system_identifier from tidemark.server`;
    await connect(
      other,
    )`update tidemark.server set system_identifier = ${String(known?.['system_identifier'])}`;
    const failover = await startFailoverCase(primary.url, {
      TIDEMARK_READ_DATABASE_URL: at(other.url, other.port),
    });
    expect((await failover.follow(undefined, 'own')).ids).toEqual(['own']);
    expect(failover.collector.logged.join()).toContain('another cluster');
  });
});
