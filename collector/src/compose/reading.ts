import { consumerLimits } from '@tidemark/core/wire';
import { createCommits } from '../read/commit.ts';
import { createLeases } from '../read/lease.ts';
import { createLive } from '../read/live.ts';
import { createPatientReader, createReader, type Reader } from '../read/page.ts';
import { createRoster } from '../read/roster.ts';
import { createWindowReader } from '../read/windows.ts';
import { type ColumnEvent, readColumnPiece } from '../store/columns.ts';
import { createConsumerStore } from '../store/consumers.ts';
import type { Database, Sql } from '../store/database.ts';
import { createLeaseStore } from '../store/leases.ts';
import { readNewest } from '../store/newest.ts';
import { readScanEnd } from '../store/page.ts';
import { stretches } from '../store/partitions.ts';
import { readExtent, readHead, readPanes } from '../store/windows.ts';

export type Reading = ReturnType<typeof composeReading>;

export interface ReadingParts {
  readonly database: Database;
  readonly firstPartition: () => bigint;
  /** Asks for the watermark to be moved soon: somebody waits for it. */
  readonly hurry: () => void;
}

/** From Postgres to pages, windows and consumers. */
export function composeReading({ database, firstPartition, hurry }: ReadingParts) {
  const readerOf = (sql: Sql): Reader<ColumnEvent> =>
    createReader({
      readPiece: (request) => readColumnPiece(sql, request),
      readScanEnd: (range) => readScanEnd(sql, range),
      stretches: (position, end) => stretches(position, firstPartition(), end),
    });
  const onPrimary = readerOf(database.readPrimary);
  const reader =
    database.read === database.readPrimary
      ? onPrimary
      : createPatientReader(
          { page: (request) => database.readTogether((sql) => readerOf(sql).page(request)) },
          onPrimary,
        );
  const consumers = createConsumerStore(database.consume);
  const { perStream: consumersMax, shards, members: membersMax } = consumerLimits;
  const roster = createRoster(consumers, { consumersMax, shardsDefault: shards.default });
  const leases = createLeases(consumers, createLeaseStore(database.consume, { membersMax }));
  const live = createLive((streamId, since) => readNewest(database.read, streamId, since), hurry);
  const windowReader = createWindowReader({
    readHead: (streamId) => readHead(database.aggregate, streamId),
    readExtent: (range) => readExtent(database.aggregate, range),
    readPanes: (request) => readPanes(database.aggregate, request),
  });
  return { reader, windowReader, roster, leases, commits: createCommits(consumers), live };
}
