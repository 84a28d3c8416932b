import {
  clientIpModes,
  earliestMicros,
  formatTime,
  retentionDaysMax,
  streamNamePattern,
  watermarkDelayMsMax,
} from '@tidemark/core/wire';
import { Hono } from 'hono';
import { z } from 'zod';
import { createProblem, ProblemError } from '../errors.ts';
import { encodeCursor } from '../read/cursor.ts';
import type { StreamStatistics } from '../store/stream-statistics.ts';
import type { Stream, Streams } from '../store/streams.ts';
import { type Authenticate, mayUseStream } from './authenticate.ts';
import { readJsonBody } from './json-body.ts';
import type { Replies } from './respond.ts';
import { streamNotFound } from './stream-events.ts';

export interface StreamsDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly streams: Pick<Streams, 'find' | 'list' | 'put' | 'remove'>;
  readonly readStatistics: (streamId: number) => Promise<StreamStatistics>;
  /** What is kept, and for how long, has changed. */
  readonly hurryUpkeep: () => void;
}

const settings = z.strictObject({
  watermarkDelayMs: z.int().min(0).max(watermarkDelayMsMax).optional(),
  retentionDays: z.int().min(1).max(retentionDaysMax).nullable().optional(),
  dedupeDays: z.int().min(1).max(retentionDaysMax).optional(),
  clientIp: z.enum(clientIpModes).optional(),
  userAgent: z.boolean().optional(),
});

const pageStreams = 1_000;

/** `GET /v1/streams`, and `GET`, `PUT` and `DELETE /v1/streams/{stream}`. */
export function createStreamsRoute(dependencies: StreamsDependencies): Hono {
  const { authenticate, replies, streams, readStatistics, hurryUpkeep } = dependencies;
  return new Hono()
    .get('/v1/streams', async (context) => {
      const principal = await authenticate(context, { role: 'read' });
      const after = context.req.query('cursor') ?? '';
      if (after !== '' && !streamNamePattern.test(after)) throw badCursor();
      const page = await streams.list(after, pageStreams);
      const last = page.at(-1);
      return replies.json({
        streams: page.filter((stream) => mayUseStream(principal, stream.name)).map(describeStream),
        nextCursor: page.length === pageStreams && last !== undefined ? last.name : null,
      });
    })
    .get('/v1/streams/:stream', async (context) => {
      const name = context.req.param('stream');
      await authenticate(context, { role: 'read', stream: name });
      const stream = streamNamePattern.test(name) ? await streams.find(name) : undefined;
      if (stream === undefined) throw streamNotFound(name);
      const statistics = await readStatistics(stream.streamId);
      return replies.json({ ...describeStream(stream), ...describeStatistics(statistics) });
    })
    .put('/v1/streams/:stream', async (context) => {
      const name = context.req.param('stream');
      await authenticate(context, { role: 'admin' });
      if (!streamNamePattern.test(name)) {
        const detail = `A stream's name has 1 to 64 letters, digits, dots, underscores and dashes, not ${JSON.stringify(name.slice(0, 80))}`;
        throw new ProblemError(createProblem('invalid_parameter', detail));
      }
      const body = await readJsonBody(context.req, settings, { watermarkDelayMs: 5_000 });
      const { watermarkDelayMs, retentionDays, dedupeDays, clientIp, userAgent } = body;
      const stream = await streams.put(name, {
        ...(watermarkDelayMs === undefined ? {} : { watermarkDelay: BigInt(watermarkDelayMs) * 1_000n }),
        ...(retentionDays === undefined ? {} : { retentionDays }),
        ...(dedupeDays === undefined ? {} : { dedupeDays }),
        ...(clientIp === undefined ? {} : { clientIp }),
        ...(userAgent === undefined ? {} : { userAgent }),
      });
      if (stream === undefined) {
        const detail = `Stream ${name} would be one too many: raise TIDEMARK_MAX_STREAMS or delete a stream`;
        throw new ProblemError(createProblem('too_many_streams', detail));
      }
      if (retentionDays !== undefined || dedupeDays !== undefined) hurryUpkeep();
      return replies.json({ ...describeStream(stream), effectiveFrom: formatTime(effectiveFrom(stream)) });
    })
    .delete('/v1/streams/:stream', async (context) => {
      const name = context.req.param('stream');
      await authenticate(context, { role: 'admin' });
      if (!streamNamePattern.test(name) || !(await streams.remove(name))) throw streamNotFound(name);
      hurryUpkeep();
      return replies.json({ stream: name, deleted: true });
    });
}

function badCursor(): ProblemError {
  return new ProblemError(
    createProblem('invalid_parameter', 'cursor must be the nextCursor of the list before'),
  );
}

/** History before this moment is taken as late: what is below the watermark stays as it is. */
function effectiveFrom(stream: Stream): bigint {
  return stream.watermark > stream.orderFloor ? stream.watermark : stream.orderFloor;
}

function describeStream(stream: Stream) {
  const cursorAt = (orderTime: bigint) => encodeCursor(stream.identity, stream.epoch, { orderTime, seq: 0n });
  return {
    stream: stream.name,
    watermark: formatTime(stream.watermark < earliestMicros ? earliestMicros : stream.watermark),
    watermarkDelayMs: Number(stream.watermarkDelay / 1_000n),
    retentionDays: stream.retentionDays,
    dedupeDays: stream.dedupeDays,
    clientIp: stream.clientIp,
    userAgent: stream.userAgent,
    epoch: stream.epoch,
    earliestCursor: cursorAt(stream.retainedMark),
    latestCursor: cursorAt(stream.watermark),
    createdAt: formatTime(stream.createdAt),
  };
}

/** Of the newest events below the watermark. */
function describeStatistics({
  events,
  counted,
  lastMinute,
  sampled,
  late,
  lateness,
  first,
  last,
}: StreamStatistics) {
  const spanSeconds = first === null || last === null ? 0 : Number(last - first) / 1e6;
  const [p50, p90, p99, most] = (lateness ?? []).map((micros) => Number((micros + 999n) / 1_000n));
  return {
    events,
    eventsCounted: counted,
    eventsPerSecond: {
      lastMinute: lastMinute / 60,
      sampled: spanSeconds > 0 ? (sampled - 1) / spanSeconds : null,
    },
    lateShare: sampled === 0 ? null : late / sampled,
    lateByMs: p50 === undefined ? null : { p50, p90, p99, max: most },
  };
}
