import type { Socket } from 'node:net';
import postgres from 'postgres';
import { failureOf } from './failure.ts';
import { type Address, openSocket } from './socket.ts';

/**
 * Connections that are used by one statement or transaction at a time, and thrown away when they break.
 *
 * The driver's own pool uses a broken connection again together with what was left in it. After a crash of the server that shows
 * as statements that hang until a connect timeout, as an empty answer to a statement that was never sent, and, where a transaction
 * is rolled back on the broken connection, as an exception that nobody can catch (porsager/postgres#1154, #1208). So each
 * connection here is a driver's pool of one, which is given up at the first sign of trouble and asked for nothing afterwards.
 */
export interface Sql extends Session {
  /** A transaction. The options are SQL's, such as "isolation level repeatable read". */
  begin<T>(work: (transaction: Session) => Promise<T>): Promise<T>;
  begin<T>(options: string, work: (transaction: Session) => Promise<T>): Promise<T>;
  /** Takes on nothing more. What is under way gets so many seconds; by default as long as it takes. */
  end(options?: { readonly timeout?: number }): Promise<void>;
  /** The driver's, in so far as Drizzle sets them. */
  readonly options: Codecs;
}

/** Statements on one connection, or each on any. They begin at once, not when they are awaited. */
export interface Session {
  /** A statement; values are parameters. */
  <T extends Rows>(strings: TemplateStringsArray, ...values: readonly Parameter[]): Statement<T>;
  (strings: TemplateStringsArray, ...values: readonly Parameter[]): Statement<readonly Row[]>;
  /** A statement with $1, $2, …; with `prepare` the connection keeps its plan. */
  unsafe<T extends Rows = readonly Row[]>(
    text: string,
    parameters?: readonly Parameter[],
    options?: { readonly prepare?: boolean },
  ): Statement<T>;
}

export interface Statement<T> extends Promise<T> {
  // How rows come, if not as objects. To be said at once.
  /** As arrays. */
  values(): Promise<readonly (readonly unknown[])[]>;
  /** As arrays of what Postgres sent, in its text format. */
  raw(): Promise<readonly (readonly (Buffer | null)[])[]>;
}

type Parameter = string | number | bigint | boolean | Uint8Array | null;
type Row = Record<string, unknown>;
type Rows = readonly unknown[];
/** Of it, a session has what statements need. */
export type Driver = postgres.Sql<{ bigint: bigint }>;

interface Codecs {
  readonly parsers: Record<string, unknown>;
  readonly serializers: Record<string, unknown>;
}

interface Connection {
  readonly driver: Driver;
  /** The driver's, once it is connected. */
  socket: Socket | undefined;
  lost: boolean;
  /** The server has answered on it, and it has passed the check. */
  passed: boolean;
  /** Ends the work that has the connection. */
  onLost: ((cause: unknown) => void) | undefined;
}

/** Closed: statements fail as if there were no database. */
export interface Gate {
  open: boolean;
}

export interface PoolOptions {
  readonly connectionsMax: number;
  /** So long the driver may take for a statement, milliseconds: more than the server allows it. 0: as long as it takes. */
  readonly answerMsMax: number;
  readonly gate: Gate;
  readonly check?: CheckConnection | undefined;
}

interface Waiting {
  readonly take: (connection: Connection) => void;
  readonly fail: (error: Error) => void;
}

/** After a statement has had its time, what has already arrived is still looked at: this process may have been stopped meanwhile. */
const graceMs = 250;
/** Longest time until a connection is there, in milliseconds. */
export const connectMsMax = 5_000;

/** Longest time a statement of a check may take, in milliseconds: more than it gives itself. */
export const checkMsMax = 62_000;

/** What every connection has to pass before it is used; what it rejects with is the failure of the first use. */
export type CheckConnection = (connection: Session) => Promise<void>;

/** Connects lazily: nothing happens before the first statement. */
export function createPool(
  url: string,
  { connectionsMax, answerMsMax, gate, check }: PoolOptions,
  driverOptions: postgres.Options<{ bigint: postgres.PostgresType<bigint> }>,
): Sql {
  const open = new Set<Connection>();
  const idle: Connection[] = [];
  const waiting: Waiting[] = [];
  const codecs: Codecs = { parsers: {}, serializers: {} };
  let ended = false;

  function add(): Connection {
    let hosts = 0;
    const options = { ...driverOptions, max: 1, onclose: () => lose(connection), socket };
    const driver = postgres(url, options);
    const connection: Connection = {
      driver,
      socket: undefined,
      lost: false,
      passed: false,
      onLost: undefined,
    };
    Object.assign(driver.options.parsers, codecs.parsers);
    Object.assign(driver.options.serializers, codecs.serializers);
    open.add(connection);
    return connection;

    /** Asked for again by the driver where the host it came to is not of the kind that the URL wants. */
    async function socket(address: Address): Promise<Socket> {
      try {
        const opened = await openSocket(address, hosts);
        hosts += 1;
        connection.socket = opened;
        if (connection.lost) opened.destroy();
        return opened;
      } catch (error) {
        lose(connection, error);
        throw error;
      }
    }
  }

  /** Nothing is waited for: the other side may never answer. */
  function lose(connection: Connection, cause: unknown = lostError()): void {
    if (connection.lost) return;
    connection.lost = true;
    open.delete(connection);
    const at = idle.indexOf(connection);
    if (at >= 0) idle.splice(at, 1);
    connection.onLost?.(cause);
    void connection.driver.end({ timeout: 0 });
    connection.socket?.destroy();
  }

  function acquire(): Promise<Connection> {
    if (ended) return Promise.reject(endedError());
    if (!gate.open) return Promise.reject(closedError());
    const connection = idle.pop() ?? (open.size < connectionsMax ? add() : undefined);
    if (connection !== undefined) return Promise.resolve(connection);
    return new Promise((take, fail) => {
      waiting.push({ take, fail });
    });
  }

  function release(connection: Connection): void {
    const next = waiting.shift();
    if (next !== undefined) next.take(connection.lost ? add() : connection);
    else if (!connection.lost) idle.push(connection);
  }

  /** Has a connection to itself until the work ends or the connection is lost. */
  async function use<T>(work: (connection: Connection) => PromiseLike<T>): Promise<T> {
    const connection = await acquire();
    try {
      return await new Promise<T>((resolve, reject) => {
        connection.onLost = reject;
        pass(connection)
          .then(() => work(connection))
          .then(resolve, reject);
      });
    } catch (error) {
      if (failureOf(error) === 'unavailable') lose(connection);
      throw error;
    } finally {
      connection.onLost = undefined;
      release(connection);
    }
  }

  /** A server that is stopped, or that the network has cut off, never answers: the connection is given up. */
  async function timed<T>(
    connection: Connection,
    ask: (driver: Driver) => PromiseLike<T>,
    msMax = answerMsMax,
  ): Promise<T> {
    if (msMax === 0) return ask(connection.driver);
    let timer = setTimeout(() => {
      timer = setTimeout(() => lose(connection), graceMs).unref();
    }, msMax).unref();
    try {
      return await ask(connection.driver);
    } finally {
      clearTimeout(timer);
    }
  }

  async function pass(connection: Connection): Promise<void> {
    if (connection.passed) return;
    // The driver's own time-out is for one attempt. Where a connection is taken and dropped without a word, as proxies do whose
    // server is away, it makes attempts without end.
    await timed(connection, (driver) => driver`select`, connectMsMax);
    await check?.(sessionOn(connection, checkMsMax));
    connection.passed = true;
  }

  /** Nothing is asked of a connection that is lost, not even to undo a transaction: the server has done that. */
  function sessionOn(connection: Connection, msMax = answerMsMax): Session {
    return createSession((ask) =>
      connection.lost ? Promise.reject(lostError()) : timed(connection, ask, msMax),
    );
  }

  const session = createSession((ask) => use((connection) => timed(connection, ask)));
  return Object.assign(session, {
    options: codecs,
    begin: <T>(...parameters: [Work<T>] | [string, Work<T>]): Promise<T> => {
      const [options, work] = parameters.length === 1 ? ['', parameters[0]] : parameters;
      return use((connection) => runTransaction(sessionOn(connection), options, work));
    },
    async end(limit: { readonly timeout?: number } = {}) {
      ended = true;
      for (const { fail } of waiting.splice(0)) fail(endedError());
      await Promise.all(
        [...open].map(async (connection) => {
          await connection.driver.end(limit);
          connection.socket?.destroySoon();
        }),
      );
    },
  });
}

type Work<T> = (transaction: Session) => Promise<T>;

async function runTransaction<T>(session: Session, options: string, work: Work<T>): Promise<T> {
  await session.unsafe(`begin ${options}`);
  let result: T;
  try {
    result = await work(session);
  } catch (error) {
    await session.unsafe('rollback').catch(() => undefined);
    throw error;
  }
  const committed = await session.unsafe<postgres.RowList<Row[]>>('commit');
  // What Postgres answers to a commit when a statement had failed and the work did not mind.
  if (committed.command === 'ROLLBACK') throw abortedError();
  return result;
}

type Ask = <T>(ask: (driver: Driver) => PromiseLike<T>) => Promise<T> | PromiseLike<T>;

/** Statements, each asked of what `run` finds for it. */
export function createSession(run: Ask): Session {
  function begin(query: (driver: Driver) => postgres.PendingQuery<postgres.Row[]>): Statement<never> {
    let form: 'objects' | 'values' | 'raw' = 'objects';
    // A moment later, so that there is time to say how rows shall come.
    const rows = Promise.resolve().then(() =>
      run<unknown>((driver) => (form === 'objects' ? query(driver) : query(driver)[form]())),
    );
    const as = (wanted: typeof form) => (): Promise<unknown> => {
      form = wanted;
      return rows;
    };
    return Object.assign(rows, { values: as('values'), raw: as('raw') }) as Statement<never>;
  }

  const statement = (strings: TemplateStringsArray, ...values: Parameter[]): Statement<never> =>
    begin((driver) => driver(strings, ...values));
  const unsafe = (text: string, parameters?: Parameter[], options?: { prepare: boolean }): Statement<never> =>
    begin((driver) => driver.unsafe(text, parameters, options));
  return Object.assign(statement, { unsafe }) as Session;
}

function lostError(): Error {
  return Object.assign(new Error('The connection to Postgres was lost'), { code: 'CONNECTION_CLOSED' });
}

function endedError(): Error {
  return Object.assign(new Error('The connections to Postgres were closed'), { code: 'CONNECTION_ENDED' });
}

function closedError(): Error {
  return Object.assign(new Error('Postgres has not been reached yet'), { code: 'CONNECTION_CLOSED' });
}

function abortedError(): Error {
  return Object.assign(new Error('A statement of the transaction had failed: it was undone'), {
    code: '25P02',
  });
}
