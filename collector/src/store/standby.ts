import { describeFailure, failureOf } from './failure.ts';
import { type CheckConnection, createSession, type Driver, type Sql } from './pool.ts';

/**
 * Reads from a hot standby, and from the primary while that is away.
 *
 * What a standby shows is what the primary was a moment ago: it replays commits in their order, so a watermark comes after the events
 * that it vouches for there, too. So a page of a standby is true, only older. A standby that cannot be reached, is not a copy of
 * the primary, or is further behind than anybody would want is not asked until it is well again.
 */
export interface StandbyOptions {
  readonly monotonicMs: () => number;
  /** How far the standby was behind the primary, in seconds: told about once a second. */
  readonly onLag: (seconds: number) => void;
  /** From now on the primary is asked, and why; then that the standby is. Told in turn. */
  readonly onAway: (reason: string) => void;
  readonly onBack: () => void;
}

export interface StandbyFirst extends Sql {
  /**
   * Several statements that belong together go to one server: to the standby, or, when one of them fails there, all of them to the
   * primary. Else the watermark could come from the primary and the events from a standby that has yet to get them.
   */
  together<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /** Looks how far the standby is behind this floor of the primary. At most once a second, and never two at a time. */
  measure(floor: bigint): void;
}

const measureMs = 1_000;
/** A watermark that stands still for so long is worse than a primary that is busy. */
const lagMicrosMax = 60_000_000n;

export function createStandbyFirst(standby: Sql, primary: Sql, options: StandbyOptions): StandbyFirst {
  let away = false;
  let measuring = false;
  let measuredMs = Number.NEGATIVE_INFINITY;

  async function attempt<T>(ask: (sql: Sql) => PromiseLike<T>): Promise<T> {
    if (!away) {
      try {
        return await ask(standby);
      } catch (error) {
        const failure = failureOf(error);
        if (failure === 'data') throw error;
        // A conflict with what is replayed ends one statement; anything else ends them all.
        if (failure !== 'transient') leave(describeFailure(error));
      }
    }
    return ask(primary);
  }

  function leave(reason: string): void {
    if (away) return;
    away = true;
    options.onAway(reason);
  }

  async function look(floor: bigint): Promise<void> {
    const [fence] = await standby<[{ published: bigint }]>`select published from tidemark.fence`;
    const lag = floor > fence.published ? floor - fence.published : 0n;
    options.onLag(Number(lag) / 1e6);
    if (lag > lagMicrosMax) return leave(`it is ${lag / 1_000_000n} s behind the primary`);
    if (away) options.onBack();
    away = false;
  }

  const session = createSession((ask) => attempt((sql) => ask(sql as unknown as Driver)));
  return Object.assign(session, {
    options: standby.options,
    begin: ((...work: Parameters<Sql['begin']>) => attempt((sql) => sql.begin(...work))) as Sql['begin'],
    together: attempt,
    async end(limit?: { readonly timeout?: number }) {
      await standby.end(limit);
    },
    measure(floor: bigint) {
      const nowMs = options.monotonicMs();
      if (measuring || nowMs - measuredMs < measureMs) return;
      measuring = true;
      measuredMs = nowMs;
      look(floor)
        .catch((error: unknown) => leave(describeFailure(error)))
        .finally(() => {
          measuring = false;
        });
    },
  });
}

/** A read-only copy must be one of the same cluster: the commits of anything else need not come in their order. */
export const checkStandby: CheckConnection = async (connection) => {
  const [row] = await connection<{ foreign: boolean | null }[]>`
    select known.system_identifier <> present.system_identifier as foreign
    from tidemark.server known, tidemark.this_server() present`;
  if (row?.foreign !== true) return;
  // As if nobody answered there, so that the connection is given up.
  const message = 'it is not a standby of the primary, but another cluster';
  throw Object.assign(new Error(message), { code: 'CONNECTION_CLOSED' });
};
