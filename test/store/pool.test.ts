import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { connect, type Sql } from '../../collector/src/store/database.ts';
import { failureOf } from '../../collector/src/store/failure.ts';
import type { Session } from '../../collector/src/store/pool.ts';
import { eventually } from '../harness/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';
import { startPrivatePostgres } from '../harness/private-postgres.ts';
import { startProxy } from '../harness/proxy.ts';

let database: TestDatabase;
let watcher: Sql;

beforeAll(async () => {
  database = await createTestDatabase({ migrate: false });
  watcher = connect(database.url, 'watcher', 1, {});
  await watcher`create table kept (number integer)`;
});

afterAll(async () => {
  await watcher.end();
  await database.drop();
});

/** How many of these connections are in `pg_sleep`, not only on their way to it, and how many there are. */
async function activity(name: string): Promise<{ asleep: number; connections: number }> {
  const [row] = await watcher<[{ asleep: number; connections: number }]>`
    select count(*) filter (where wait_event = 'PgSleep')::integer as asleep, count(*)::integer as connections
    from pg_stat_activity where application_name = ${name}`;
  return row;
}

const endConnections = (name: string) =>
  watcher`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name}`;
const kept = async () =>
  (await watcher<{ number: number }[]>`select number from kept order by number`).map(({ number }) => number);
const failure = (attempt: Promise<unknown>) => attempt.then(() => undefined, failureOf);

describe('a pool', () => {
  test('G5 opens no more connections than it may', async () => {
    const sql = connect(database.url, 'bounded', 2, {});
    const statements = Array.from({ length: 20 }, async () => {
      await sql`select pg_sleep(0.005)`;
      expect((await activity('bounded')).connections).toBeLessThanOrEqual(2);
    });
    await Promise.all(statements);
    await sql.end();
    await eventually('the connections are closed', async () => (await activity('bounded')).connections === 0);
  });

  test('G5 gives a connection to what waits in the order it came', async () => {
    // Of two connections one may get on faster than the other.
    const sql = connect(database.url, 'in order', 1, {});
    const numbers = Array.from({ length: 20 }, (_, number) => number);
    const order: number[] = [];
    await Promise.all(
      numbers.map(async (number) => {
        await sql`select pg_sleep(0.005)`;
        order.push(number);
      }),
    );
    expect(order).toEqual(numbers);
    await sql.end();
  });

  test('gives rows as objects, as arrays or as they were sent, and 64-bit integers as bigint', async () => {
    const sql = connect(database.url, 'rows', 1, {});
    expect([...(await sql`select ${9_007_199_254_740_993n} as a, ${'x'}::text as b`)]).toEqual([
      { a: 9_007_199_254_740_993n, b: 'x' },
    ]);
    expect([...(await sql.unsafe('select $1::bigint, null', ['-5'], { prepare: true }).values())]).toEqual([
      [-5n, null],
    ]);
    expect([...(await sql`select ${7}::integer, null`.raw())]).toEqual([[Buffer.from('7'), null]]);
    await sql.end();
  });

  test('finishes what is under way when it ends, and refuses what waits and what comes', async () => {
    const sql = connect(database.url, 'ending', 1, {});
    const running = sql`select pg_sleep(1)`;
    const waiting = failure(sql`select 1`);
    await eventually('the statement runs', async () => (await activity('ending')).asleep === 1);
    const ended = sql.end();
    expect(await failure(sql`select 1`)).toBe('unavailable');
    expect(await waiting).toBe('unavailable');
    expect(await running).toHaveLength(1);
    await ended;
  });
});

describe('a transaction', () => {
  test('is there for others when it has ended, and not at all when it failed', async () => {
    const sql = connect(database.url, 'transaction', 2, {});
    await sql.begin(async (transaction) => {
      await transaction`insert into kept values (1)`;
      expect(await kept()).toEqual([]);
    });
    expect(await kept()).toEqual([1]);
    const failed = sql.begin(async (transaction) => {
      await transaction`insert into kept values (2)`;
      throw new Error('changed our mind');
    });
    await expect(failed).rejects.toThrow('changed our mind');
    await sql.begin('isolation level repeatable read', async (transaction) => {
      const [row] = await transaction<
        [{ level: string }]
      >`select current_setting('transaction_isolation') as level`;
      expect(row.level).toBe('repeatable read');
    });
    expect(await kept()).toEqual([1]);
    await sql.end();
  });

  test('in which a statement failed is not taken for a success, also if nobody minded', async () => {
    const sql = connect(database.url, 'careless', 1, {});
    const careless = sql.begin(async (transaction) => {
      await transaction`insert into kept values (3)`;
      await transaction`select 1 / 0`.catch(() => undefined);
    });
    await expect(careless).rejects.toMatchObject({ code: '25P02' });
    expect(await kept()).not.toContain(3);
    await sql.end();
  });

  test.each<[string, (sql: Sql, cut: () => Promise<unknown>) => Promise<unknown>]>([
    [
      'while a statement runs',
      (sql, cut) =>
        sql.begin(async (transaction) => {
          await transaction`insert into kept values (4)`;
          await Promise.all([transaction`select pg_sleep(${30})`, cut()]);
        }),
    ],
    [
      'between statements',
      (sql, cut) =>
        sql.begin(async (transaction) => {
          await transaction`insert into kept values (4)`;
          await cut();
          await eventually('the connection is gone', async () => (await activity('lost')).connections === 0);
          await transaction`insert into kept values (5)`;
        }),
    ],
    [
      'before it is committed',
      (sql, cut) =>
        sql.begin(async (transaction) => {
          await transaction`insert into kept values (4)`;
          await cut();
        }),
    ],
  ])(
    'whose connection is lost %s fails, stores nothing, and leaves the pool in order',
    async (_title, work) => {
      const sql = connect(database.url, 'lost', 1, {});
      const cut = async () => {
        await eventually('the transaction runs', async () => (await activity('lost')).connections === 1);
        await endConnections('lost');
      };
      expect(await failure(work(sql, cut))).toBe('unavailable');
      for (let turn = 0; turn < 3; turn++) expect(await sql`select 1`).toHaveLength(1);
      expect(await kept()).not.toContain(4);
      expect(await kept()).not.toContain(5);
      await sql.end();
    },
  );
});

describe('connections that are lost', () => {
  test('while idle are replaced without a failure', async () => {
    const sql = connect(database.url, 'idle', 2, {});
    await Promise.all([sql`select pg_sleep(0.01)`, sql`select pg_sleep(0.01)`]);
    await endConnections('idle');
    await eventually('they are gone', async () => (await activity('idle')).connections === 0);
    await eventually('a new one answers', async () => (await failure(sql`select 1`)) === undefined);
    await sql.end();
  });

  test('in a crash of the server are all back soon after it, and no answer is ever empty', async () => {
    const server = await startPrivatePostgres();
    const sql = connect(server.url, 'crashed', 6, {});
    const stopped = new AbortController();
    const loops = Array.from({ length: 9 }, () => ({ answers: 0, empty: 0 }));
    const running = loops.map(async (loop, number) => {
      // Texts of different length: some are written at once, some with what comes after.
      const text = 'x'.repeat(number % 3 === 0 ? 3_000 : 3);
      while (!stopped.signal.aborted) {
        try {
          const rows = await sql`select ${number}::integer as number, ${text}::text as text`;
          if (rows.length === 1) loop.answers += 1;
          else loop.empty += 1;
        } catch (error) {
          expect(failureOf(error)).toBe('unavailable');
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    });
    try {
      for (let round = 0; round < 2; round++) {
        await server.kill();
        await server.restart();
        const before = loops.map(({ answers }) => answers);
        // Less than a connect timeout: that is what a connection costs that was left in disorder.
        await eventually(
          'all go on',
          () => loops.every(({ answers }, number) => answers > (before[number] ?? 0)),
          4_500,
        );
      }
    } finally {
      stopped.abort();
      await Promise.all(running);
      await sql.end({ timeout: 1 });
      await server.stop();
    }
    expect(loops.map(({ empty }) => empty)).toEqual(loops.map(() => 0));
  });

  test('G5 to a server that accepts and never answers are given up when a statement has had its time, and leave no sockets', async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
      socket.resume();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const sql = connect(`postgres://user@127.0.0.1:${port}/any`, 'unanswered', 2, { statement_timeout: 100 });
    expect(await Promise.all([1, 2, 3].map(() => failure(sql`select 1`)))).toEqual(
      [1, 2, 3].map(() => 'unavailable'),
    );
    await eventually('the sockets are closed', () => sockets.size === 0);
    await sql.end();
    server.close();
  });

  test('go to the next of several hosts, and fail at once when none is there', async () => {
    const { hostname, port } = new URL(database.url);
    const others = (there: string) => database.url.replace(`${hostname}:${port}`, there);
    const sql = connect(others(`127.0.0.1:1,${hostname}:${port}`), 'hosts', 1, {});
    expect(await sql`select 1`).toHaveLength(1);
    await sql.end();
    const nowhere = connect(others('127.0.0.1:1,127.0.0.1:2'), 'nowhere', 1, {});
    await expect(nowhere`select 1`).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await nowhere.end();
  });

  test('fails where a proxy takes connections and drops them without a word', async () => {
    const proxy = await startProxy(() => ({ kind: 'requestCut', afterBytes: 0 }));
    onTestFinished(() => proxy.close());
    proxy.aim(Number(new URL(database.url).port));
    const url = new URL(database.url);
    url.port = String(proxy.port);
    const sql = connect(url.href, 'dropped', 1, {});
    expect(await failure(sql`select 1`)).toBe('unavailable');
    await sql.end({ timeout: 1 });
  });

  test('uses a connection when it has passed the check, and each only once', async () => {
    const checked: number[] = [];
    let fit = false;
    const pid = async (session: Session): Promise<number> => {
      const [row] = await session<[{ pid: number }]>`select pg_backend_pid() as pid`;
      return row.pid;
    };
    const sql = connect(
      database.url,
      'checked',
      2,
      {},
      {
        check: async (connection) => {
          checked.push(await pid(connection));
          if (!fit) throw Object.assign(new Error('a standby'), { code: '25006' });
        },
      },
    );
    await expect(pid(sql)).rejects.toThrow('a standby');
    await expect(sql.begin(pid)).rejects.toThrow('a standby');
    // Such a connection is given up: the next one may lead elsewhere.
    expect(new Set(checked).size).toBe(2);

    fit = true;
    const used = await Promise.all([pid(sql), pid(sql), sql.begin(pid), pid(sql)]);
    expect(new Set(used)).toEqual(new Set(checked.slice(2)));
    expect(checked.slice(2)).toHaveLength(new Set(used).size);
    await sql.end();
  });
});
