import { consumerLimits } from '@tidemark/core/wire';
import { createProblem, ProblemError } from '../errors.ts';
import type { ConsumerName, ConsumerRefusal } from '../read/consumers.ts';
import { refusedRead } from './refused-read.ts';

/** The answer where something cannot be done with a consumer. */
export function refusedConsumer(refusal: ConsumerRefusal, { stream, name }: ConsumerName): ProblemError {
  switch (refusal.refused) {
    case 'consumer_not_found':
      return consumerNotFound(name);
    case 'consumer_conflict':
      return conflict(
        'consumer_conflict',
        `Consumer ${name} has ${shown(refusal.shards)}: delete it first, or use it as it is`,
      );
    case 'too_many_consumers': {
      const detail = `Consumer ${name} would be one too many: a stream can have ${consumerLimits.perStream}`;
      return new ProblemError(createProblem('too_many_consumers', detail));
    }
    case 'no_such_shard': {
      const detail = `Consumer ${name} has ${shown(refusal.shards)}, counted from 0`;
      return new ProblemError(createProblem('invalid_parameter', `shard: ${detail}`));
    }
    case 'no_free_shard':
      return conflict(
        'no_free_shard',
        'Others have the shards, or you have your share of them: ask again in a few seconds',
      );
    case 'stale_generation':
      return conflict(
        'stale_generation',
        `Shard ${refusal.shard} of ${name} is in other hands, or was moved: lease a shard and go on at its cursor`,
      );
    case 'lease_needed': {
      const detail = `Consumer ${name} has ${shown(refusal.shards)}: lease one and commit with its generation`;
      return new ProblemError(createProblem('invalid_parameter', `previousCursor: ${detail}`));
    }
    case 'cursor_conflict': {
      const { resumeCursor } = refusal;
      const detail = 'previousCursor is not the committed cursor: go on at resumeCursor, which is';
      return new ProblemError(createProblem('cursor_conflict', detail, { resumeCursor }));
    }
    case 'cursor_expired':
    case 'epoch_changed':
    case 'invalid_cursor':
    case 'stream_not_found':
      return refusedRead(refusal, stream);
  }
}

export function consumerNotFound(name: string): ProblemError {
  const detail = `The stream has no consumer ${JSON.stringify(name.slice(0, 80))}: make it with PUT`;
  return new ProblemError(createProblem('consumer_not_found', detail));
}

function conflict(
  code: 'consumer_conflict' | 'no_free_shard' | 'stale_generation',
  detail: string,
): ProblemError {
  return new ProblemError(createProblem(code, detail));
}

function shown(shards: number): string {
  return shards === 1 ? '1 shard' : `${shards} shards`;
}
