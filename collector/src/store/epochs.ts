import { earliestMicros } from '@tidemark/core/wire';
import type { CheckConnection, Session } from './pool.ts';

/**
 * Whether the database is still the one that cursors were given for (the account is in the migrations). Asked on every new connection
 * before its first use: a failover breaks the connections, so nothing is stored or read on another server before its epoch has begun.
 */
export interface Epochs {
  readonly check: CheckConnection;
  /** A floor that the database has published. A database that is behind it later has lost something. */
  noteFloor(floor: bigint): void;
}

export interface EpochNotices {
  /** An epoch has begun, and why. */
  readonly onBegun: (reason: string) => void;
  /** The server does not say these things of itself, so that some changes go unnoticed. Told once. */
  readonly onUntold: (untold: string) => void;
}

/** Every stream is looked at, and there may be ten thousand. */
const beginMsMax = 60_000;

export function createEpochs({ onBegun, onUntold }: EpochNotices): Epochs {
  let seen = earliestMicros;
  let told = false;
  return {
    async check(connection) {
      const { changed, untold } = await checkServer(connection, seen);
      if (changed !== null) onBegun(changed);
      if (untold !== '' && !told) {
        told = true;
        onUntold(untold);
      }
    },
    noteFloor(floor) {
      if (floor > seen) seen = floor;
    },
  };
}

async function checkServer(connection: Session, seen: bigint) {
  await connection.unsafe(`begin; set local statement_timeout = ${beginMsMax}`);
  try {
    const [row] = await connection<[{ changed: string | null; untold: string }]>`
      select changed, untold from tidemark.check_server(${seen.toString()}::bigint)`;
    await connection.unsafe('commit');
    return row;
  } catch (error) {
    await connection.unsafe('rollback').catch(() => undefined);
    throw error;
  }
}

/** An epoch that somebody asks for, where a restore went unnoticed. */
export interface BegunEpoch {
  readonly streams: number;
  /** Where it begins, microseconds; in no stream later. */
  readonly epochStart: bigint;
}

export async function beginEpoch(sql: Session): Promise<BegunEpoch> {
  const [row] = await sql<[{ streams: bigint; epoch_start: bigint }]>`
    select streams, epoch_start from tidemark.begin_epoch(${earliestMicros.toString()}::bigint)`;
  return { streams: Number(row.streams), epochStart: row.epoch_start };
}
