import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect, createDatabase } from '../../collector/src/store/database.ts';
import { beginEpoch } from '../../collector/src/store/epochs.ts';
import { migrate } from '../../collector/src/store/migrate.ts';
import { createTestDatabase } from '../harness/postgres.ts';
import {
  createRow,
  createStoreCase,
  createTestAdvancer,
  holdStream,
  type StoreCase,
} from '../harness/store-case.ts';

const second = 1_000_000n;

describe('beginning an epoch', () => {
  let store: StoreCase;
  let start: bigint;
  beforeEach(async () => {
    store = await createStoreCase();
    [{ start }] = await store.sql<[{ start: bigint }]>`select tidemark.clock() as start`;
  });
  afterEach(() => store.close());

  const streams = async () =>
    store.sql<{ stream_id: number; epoch: number; epoch_start: bigint; order_floor: bigint }[]>`
      select stream_id, epoch, epoch_start, order_floor from tidemark.streams order by stream_id`;
  const places = async (streamId: number) =>
    (
      await store.sql<{ order_time: bigint }[]>`
        select order_time from tidemark.events where stream_id = ${streamId} order by order_time, seq`
    ).map((row) => row.order_time);

  test('G7 places what comes above everything that was placed, also under a clock that was set back', async () => {
    await store.setClock(start);
    const streamId = await store.makeStream('a', 3_600n * second);
    const empty = await store.makeStream('b', 0n);
    await store.append(streamId, [createRow({ eventTime: start - second }), createRow({ eventTime: start })]);
    // What was raised after the backup was made is not in it.
    await store.sql`update tidemark.fence set floor = ${start - 60n * second}, published = ${start - 60n * second}`;
    await store.setClock(start - 30n * second);

    const begun = await beginEpoch(store.sql);
    expect(begun).toEqual({ streams: 2, epochStart: start + 1n });
    expect([...(await streams())]).toEqual([
      { stream_id: streamId, epoch: 2, epoch_start: start + 1n, order_floor: start + 1n },
      { stream_id: empty, epoch: 2, epoch_start: start - 30n * second, order_floor: start - 30n * second },
    ]);
    await store.append(streamId, [createRow({ eventTime: start - second })]);
    expect(await places(streamId)).toEqual([start - second, start, start + 1n]);
  });

  test('G6 waits for appends that still go by the epoch before, before it publishes anything above them', async () => {
    await store.setClock(start);
    const streamId = await store.makeStream('a', 0n);
    const advancer = createTestAdvancer(store.sql, () => start);
    await advancer.tick();
    const holder = await holdStream(store.connect(1), streamId);
    await holder.append([createRow({ eventTime: start })]);
    await store.setClock(start + 10n * second);

    const { epochStart } = await beginEpoch(store.sql);
    for (let ticks = 0; ticks < 3; ticks += 1) await advancer.tick();
    expect(await store.watermark(streamId)).toBeLessThanOrEqual(start);
    await holder.commit();
    for (let ticks = 0; ticks < 3; ticks += 1) await advancer.tick();
    expect(await store.watermark(streamId)).toBeGreaterThanOrEqual(epochStart);
    expect(await places(streamId)).toEqual([start]);
  });

  test('gives numbers of streams that were lost to no other stream', async () => {
    const lost = await store.makeStream('lost', 0n);
    await store.sql`select setval('tidemark.streams_stream_id_seq', ${lost}, false)`;
    await store.sql`delete from tidemark.streams`;
    await beginEpoch(store.sql);
    expect(await store.makeStream('another', 0n)).toBeGreaterThan(lost + 1_000);
  });

  test('is done once by all who find at the same time that the database went back', async () => {
    await store.makeStream('a', 0n);
    const begun: string[] = [];
    const untold: string[] = [];
    const open = () => {
      const notices = {
        onBegun: (reason: string) => begun.push(reason),
        onUntold: (what: string) => untold.push(what),
      };
      return createDatabase({ url: store.url, writeConnections: 4, readConnections: 4, epochs: notices });
    };
    const first = open();
    await first.control`select 1`;
    expect(begun).toEqual([]);
    await store.sql`update tidemark.server set timeline = '0000000A'`;
    const others = [open(), open(), open()];
    await Promise.all(
      others.flatMap(({ write, read, control }) => [write, read, control].map((pool) => pool`select 1`)),
    );
    expect(begun).toHaveLength(1);
    expect((await streams()).map(({ epoch }) => epoch)).toEqual([2]);

    // Only who has seen a later floor can know of files that were set back.
    const [fence] = await store.sql<[{ floor: bigint }]>`select floor from tidemark.fence`;
    first.noteFloor(fence.floor + second);
    await first.write`select 1`;
    expect(begun[1]).toContain('earlier state');
    expect(begun).toHaveLength(2);
    expect(untold).toEqual([]);
    await Promise.all([first, ...others].map((database) => database.close(1_000)));
  });
});

describe('a server that does not say which it is', () => {
  test('is worked with all the same, and the operator is told once', async () => {
    const database = await createTestDatabase({ migrate: false });
    const admin = connect(database.url, 'admin', 1, {});
    const role = `managed_${randomBytes(4).toString('hex')}`;
    await admin.unsafe(`create role ${role} login password 'x'`);
    await admin.unsafe(`alter database ${database.name} owner to ${role}`);
    await admin`revoke execute on function pg_control_system() from public`;
    await admin`revoke execute on function pg_walfile_name(pg_lsn) from public`;
    const url = new URL(database.url);
    url.username = role;
    url.password = 'x';
    try {
      await migrate(url.href);
      const untold: string[] = [];
      const begun: string[] = [];
      const options = { url: url.href, writeConnections: 2, readConnections: 2 };
      const notices = {
        onBegun: (reason: string) => begun.push(reason),
        onUntold: (what: string) => untold.push(what),
      };
      const limited = createDatabase({ ...options, epochs: notices });
      await Promise.all([limited.write`select 1`, limited.read`select 1`, limited.control`select 1`]);
      expect(untold).toEqual(['system identifier, timeline']);
      await limited.close(1_000);

      // What is not told is no change, and neither is it when it is told later.
      await admin`grant execute on function pg_control_system() to public`;
      const wiser = createDatabase({ ...options, epochs: notices });
      await wiser.write`select 1`;
      expect(begun).toEqual([]);
      await wiser.close(1_000);
    } finally {
      await database.drop();
      const server = connect(new URL('/postgres', database.url).href, 'admin', 1, {});
      await server.unsafe(`drop role ${role}`);
      await server.end();
      await admin.end({ timeout: 1 });
    }
  });
});
