import { Hono } from 'hono';
import { createProblem, ProblemError } from '../errors.ts';
import type { CommitRequest, createCommits } from '../read/commit.ts';
import type { Cursor } from '../read/cursor.ts';
import type { Authenticate } from './authenticate.ts';
import { commitBody, seekBody } from './consumer-bodies.ts';
import { enterConsumer } from './consumers.ts';
import { describeCommitted, describeConsumer } from './describe-consumer.ts';
import { readJsonBody } from './json-body.ts';
import { readStart } from './page-query.ts';
import { refusedConsumer } from './refused-consumer.ts';
import type { Replies } from './respond.ts';

export interface ConsumerCursorDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly commits: ReturnType<typeof createCommits>;
}

/** `PUT …/shards/{shard}/cursor` commits, `POST …/seek` moves a consumer anywhere. */
export function createConsumerCursorRoute(dependencies: ConsumerCursorDependencies): Hono {
  const { authenticate, replies, commits } = dependencies;
  return new Hono()
    .put('/v1/streams/:stream/consumers/:consumer/shards/:shard/cursor', async (context) => {
      const consumer = await enterConsumer(context, authenticate);
      const shard = readShard(context.req.param('shard'));
      const body = await readJsonBody(context.req, commitBody, { cursor: '…', generation: 1 });
      const cursor = readCursor('cursor', body.cursor);
      const committed = await commits.commit({ ...consumer, shard, cursor, by: rightOf(body) });
      if ('refused' in committed) throw refusedConsumer(committed, consumer);
      return replies.json(describeCommitted(committed));
    })
    .post('/v1/streams/:stream/consumers/:consumer/seek', async (context) => {
      const consumer = await enterConsumer(context, authenticate);
      const { shard, ...to } = await readJsonBody(context.req, seekBody, { from: 'earliest' });
      if (Object.keys(to).length === 0) throw invalid('cursor or from: one of them says where to');
      const moved = await commits.seek({ ...consumer, shard, start: readStart(to) });
      if ('refused' in moved) throw refusedConsumer(moved, consumer);
      return replies.json(describeConsumer(consumer, moved));
    });
}

function readShard(text: string): number {
  if (!/^\d{1,3}$/.test(text))
    throw invalid(`shard is ${JSON.stringify(text.slice(0, 80))}: it must be a number`);
  return Number(text);
}

function rightOf(body: { generation?: number; previousCursor?: string }): CommitRequest['by'] {
  const { generation, previousCursor } = body;
  if (generation !== undefined && previousCursor === undefined) return { generation: BigInt(generation) };
  if (generation === undefined && previousCursor !== undefined)
    return { previousCursor: readCursor('previousCursor', previousCursor) };
  throw invalid('generation or previousCursor: exactly one of them gives the right to commit');
}

function readCursor(name: string, text: string): Cursor {
  const start = readStart({ cursor: text });
  if (start.at !== 'cursor') throw invalid(`${name} is no cursor`);
  return start.cursor;
}

function invalid(detail: string): ProblemError {
  return new ProblemError(createProblem('invalid_parameter', detail));
}
