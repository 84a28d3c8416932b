import { consumerNamePattern, streamNamePattern } from '@tidemark/core/wire';
import { type Context, Hono } from 'hono';
import { createProblem, ProblemError } from '../errors.ts';
import type { ConsumerName } from '../read/consumers.ts';
import type { createRoster } from '../read/roster.ts';
import type { Authenticate } from './authenticate.ts';
import { consumerBody } from './consumer-bodies.ts';
import { describeConsumer, describeSummary } from './describe-consumer.ts';
import { readJsonBody } from './json-body.ts';
import { readStart } from './page-query.ts';
import { consumerNotFound, refusedConsumer } from './refused-consumer.ts';
import { streamNotFound } from './refused-read.ts';
import type { Replies } from './respond.ts';

export interface ConsumersDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly roster: ReturnType<typeof createRoster>;
}

const one = '/v1/streams/:stream/consumers/:consumer';

/** `GET …/consumers`, and `GET`, `PUT` and `DELETE …/consumers/{consumer}`. A key that may read a stream may have consumers there. */
export function createConsumersRoute({ authenticate, replies, roster }: ConsumersDependencies): Hono {
  return new Hono()
    .get('/v1/streams/:stream/consumers', async (context) => {
      const stream = await enterStream(context, authenticate);
      const consumers = await roster.list(stream);
      if ('refused' in consumers) throw refusedConsumer(consumers, { stream, name: '' });
      return replies.json({ consumers: consumers.map(describeSummary) });
    })
    .get(one, async (context) => {
      const consumer = await enterConsumer(context, authenticate);
      const found = await roster.get(consumer);
      if ('refused' in found) throw refusedConsumer(found, consumer);
      return replies.json(describeConsumer(consumer, found));
    })
    .put(one, async (context) => {
      const consumer = {
        stream: await enterStream(context, authenticate),
        name: context.req.param('consumer'),
      };
      if (!consumerNamePattern.test(consumer.name)) throw badName(consumer.name);
      const { from, shards } = await readJsonBody(context.req, consumerBody, { from: 'earliest', shards: 1 });
      const start = readStart(from === undefined ? {} : { from });
      const put = await roster.put({ ...consumer, start, shards });
      if ('refused' in put) throw refusedConsumer(put, consumer);
      return replies.json(describeConsumer(consumer, put));
    })
    .delete(one, async (context) => {
      const consumer = await enterConsumer(context, authenticate);
      const removed = await roster.remove(consumer);
      if (removed !== true) throw refusedConsumer(removed, consumer);
      return replies.json({ consumer: consumer.name, deleted: true });
    });
}

/** The stream that the path names, for whom may read it. Throws what `authenticate` throws, and `stream_not_found` where there can be none. */
async function enterStream(context: Context, authenticate: Authenticate): Promise<string> {
  const stream = context.req.param('stream') ?? '';
  await authenticate(context, { role: 'read', stream });
  if (!streamNamePattern.test(stream)) throw streamNotFound(stream);
  return stream;
}

/** The consumer that the path names, in the same way. */
export async function enterConsumer(context: Context, authenticate: Authenticate): Promise<ConsumerName> {
  const stream = await enterStream(context, authenticate);
  const name = context.req.param('consumer') ?? '';
  if (!consumerNamePattern.test(name)) throw consumerNotFound(name);
  return { stream, name };
}

function badName(name: string): ProblemError {
  const detail = `A consumer's name has 1 to 64 letters, digits, dots, underscores and dashes, not ${JSON.stringify(name.slice(0, 80))}`;
  return new ProblemError(createProblem('invalid_parameter', detail));
}
