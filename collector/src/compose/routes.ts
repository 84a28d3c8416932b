import type { Problem } from '@tidemark/core/wire';
import { Hono } from 'hono';
import type { DatabaseClock } from '../clock.ts';
import { createAdministration } from '../http/administration.ts';
import type { createAuthenticator } from '../http/authenticate.ts';
import { createTrustedProxies } from '../http/client-address.ts';
import { createConsumerCursorRoute } from '../http/consumer-cursor.ts';
import { createConsumerLeaseRoute } from '../http/consumer-lease.ts';
import { createConsumersRoute } from '../http/consumers.ts';
import { createPreflight } from '../http/cors.ts';
import { createEventsRoute } from '../http/events.ts';
import { createHealthRoute, type Readiness } from '../http/health.ts';
import { createMetricsRoute } from '../http/metrics.ts';
import { createOpenApiRoute } from '../http/openapi-route.ts';
import { createOpenReads } from '../http/open-reads.ts';
import { createPixelRoute } from '../http/pixel.ts';
import { createErrorHandler, createExplainer, createNotFound } from '../http/problem.ts';
import type { Replies } from '../http/respond.ts';
import { createShell } from '../http/shell.ts';
import { createStreamEventsRoute } from '../http/stream-events.ts';
import { createStreamPlacesRoute } from '../http/stream-places.ts';
import { createStreamsRoute } from '../http/streams.ts';
import { createBatchTaker } from '../http/take-batch.ts';
import { createTimeRoute } from '../http/time.ts';
import { createWindowsRoute } from '../http/windows.ts';
import { createQuotas } from '../ingest/quota.ts';
import { createReplay } from '../ingest/replay.ts';
import { createTurns } from '../read/turns.ts';
import { beginEpoch } from '../store/epochs.ts';
import { createErasures, erasuresDefaults } from '../store/erase.ts';
import { readEvent } from '../store/event.ts';
import type { Keys } from '../store/keys.ts';
import { createSchemas } from '../store/schemas.ts';
import { readStatistics } from '../store/stream-statistics.ts';
import type { Streams } from '../store/streams.ts';
import type { CollectorDependencies } from './dependencies.ts';
import type { Ingest } from './ingest.ts';
import type { Reading } from './reading.ts';

export interface RouteParts extends Omit<CollectorDependencies, 'spool' | 'abandoned'> {
  readonly databaseClock: DatabaseClock;
  readonly streams: Streams;
  readonly keys: Keys;
  readonly authenticator: ReturnType<typeof createAuthenticator>;
  readonly replies: Replies;
  readonly ingest: Ingest;
  readonly reading: Reading;
  readonly hurryUpkeep: () => void;
  readonly readiness: () => Readiness;
  readonly explain: (error: unknown) => Problem | undefined;
  /** Aborted when the collector closes: from then on nothing is taken on, and who waits is answered. */
  readonly closing: AbortSignal;
}

/** Schemas of all streams: collectors keep them in memory. */
const schemasMax = 1_000;

/** Everything that can be asked for. */
export function composeRoutes(parts: RouteParts): Hono {
  const { config, clock, log, metrics, database, databaseClock, streams, keys, replies, explain } = parts;
  const { authenticate, watchKey } = parts.authenticator;
  const { admission, deadLetters, submit, takeBatch } = parts.ingest;
  const { reader, windowReader, roster, leases, commits, live } = parts.reading;
  const { closing } = parts;
  const { limits } = config;
  const trustedProxies = createTrustedProxies(config.trustedProxies);
  const app = new Hono();
  const route = (found: Hono) => app.route('/', found);
  app.use(createShell({ replies, log, clock, metrics }));
  app.onError(createErrorHandler({ replies, log, clock, explain }));
  app.notFound(createNotFound(app, replies));
  app.options('*', createPreflight(app));
  const shared = { authenticate, replies, metrics };
  const findStream = (name: string) => streams.find(name);
  const openRead = createOpenReads(config.openReadsMax, clock);
  const take = createBatchTaker({
    databaseClock,
    admission,
    quotas: parts.quotas ?? createQuotas(clock),
    takeBatch,
    metrics,
    closing: () => closing.aborted,
  });

  route(createHealthRoute({ replies, readiness: parts.readiness }));
  route(createMetricsRoute(shared));
  route(createTimeRoute({ replies, databaseClock }));
  route(createOpenApiRoute({ replies, limits }));
  route(createEventsRoute({ ...shared, clock, databaseClock, admission, take, limits, trustedProxies }));
  route(
    createStreamEventsRoute({
      ...{ ...shared, watchKey, findStream, reader, live, roster, clock, openRead, closing },
      takeTurn: createTurns(Math.max(1, config.readConnections - 1)),
      problemOf: createExplainer({ log, clock, explain }),
    }),
  );
  route(createPixelRoute({ ...shared, databaseClock, take, limits, trustedProxies }));
  route(
    createStreamsRoute({
      ...{ authenticate, replies, streams },
      readStatistics: (streamId) => readStatistics(database.readPrimary, streamId),
      hurryUpkeep: parts.hurryUpkeep,
    }),
  );
  route(
    createStreamPlacesRoute({
      ...{ authenticate, replies, streams },
      readEvent: (streamId, id) => readEvent(database.readPrimary, streamId, id),
    }),
  );
  route(
    createWindowsRoute({
      ...{ ...shared, watchKey, findStream, windowReader, live, clock, openRead, closing },
    }),
  );
  route(createConsumersRoute({ ...shared, roster }));
  route(createConsumerLeaseRoute({ ...shared, leases }));
  route(createConsumerCursorRoute({ ...shared, commits }));
  route(
    createAdministration({
      ...{ ...shared, clock, keys, streams, deadLetters, admission, limits },
      erasures: createErasures(database.control, {
        ...{ ...erasuresDefaults, sleep: clock.sleep, monotonicMs: clock.monotonicMs },
      }),
      schemas: createSchemas(database, { schemasMax }),
      replay: createReplay({ submit, limits }),
      beginEpoch: () => beginEpoch(database.upkeep),
    }),
  );
  return app;
}
