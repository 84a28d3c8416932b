import { paths, type TimeReply } from '@tidemark/core/wire';
import { z } from 'zod';
import { type Operation, timeSchema } from './openapi.ts';

const timeReply = z.strictObject({
  receivedAt: timeSchema,
  respondedAt: timeSchema,
}) satisfies z.ZodType<TimeReply>;

/** What the service says of itself, and what is told to it as a whole. */
export const serviceOperations: readonly Operation[] = [
  {
    method: 'post',
    path: paths.epoch,
    id: 'beginEpoch',
    summary: 'Begin an epoch in every stream',
    description:
      'After a restore that went unnoticed. Cursors of the epoch before are answered with `epoch_changed` and a place to go on from.',
    role: 'admin',
    reply: { 'application/json': z.strictObject({ streams: z.int(), epochStart: timeSchema }) },
    problems: [],
  },
  {
    method: 'get',
    path: paths.time,
    id: 'getTime',
    summary: "The server's clock",
    description:
      'Two times of one exchange, from which a client finds how far its own clock is off: ((receivedAt − sent) + (respondedAt − answered)) / 2.',
    role: null,
    reply: { 'application/json': timeReply },
    problems: [],
  },
  {
    method: 'get',
    path: '/livez',
    id: 'getLiveness',
    summary: 'Whether the process answers',
    role: null,
    reply: { 'application/json': z.strictObject({ live: z.literal(true) }) },
    problems: [],
  },
  {
    method: 'get',
    path: '/readyz',
    id: 'getReadiness',
    summary: 'Whether requests should be sent here',
    role: null,
    reply: { 'application/json': z.strictObject({ ready: z.literal(true) }) },
    problems: ['store_unavailable', 'shutting_down'],
  },
  {
    method: 'get',
    path: '/metrics',
    id: 'getMetrics',
    summary: 'Metrics in the text format of Prometheus',
    description: 'On loopback no key is asked for.',
    role: 'admin',
    reply: { 'text/plain': z.string() },
    problems: [],
  },
  {
    method: 'get',
    path: '/openapi.json',
    id: 'getDescription',
    summary: 'This description',
    role: null,
    reply: { 'application/json': z.looseObject({ openapi: z.string() }) },
    problems: [],
  },
];
