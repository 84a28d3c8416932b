import { formatTime, paths, type TimeReply } from '@tidemark/core/wire';
import { Hono } from 'hono';
import type { DatabaseClock } from '../clock.ts';
import type { Replies } from './respond.ts';

export interface TimeDependencies {
  readonly replies: Replies;
  readonly databaseClock: Pick<DatabaseClock, 'nowMicros'>;
}

/** `GET /v1/time`: the two server times of a clock sample. No key. */
export function createTimeRoute({ replies, databaseClock }: TimeDependencies): Hono {
  return new Hono().get(paths.time, () => {
    const received = databaseClock.nowMicros();
    // A measurement in between may have set the clock back.
    const responded = databaseClock.nowMicros();
    const reply: TimeReply = {
      receivedAt: formatTime(received),
      respondedAt: formatTime(responded < received ? received : responded),
    };
    return replies.json(reply);
  });
}
