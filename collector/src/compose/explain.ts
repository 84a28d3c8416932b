import type { Problem } from '@tidemark/core/wire';
import { createProblem } from '../errors.ts';
import type { Admission } from '../ingest/admit.ts';
import { StoreFailure } from '../ingest/append.ts';
import { SpoolFullError, SpoolWriteError } from '../ingest/spool-journal.ts';
import { blameOf, failureOf } from '../store/failure.ts';

/** Lost databases and overlong transactions are the environment's failures: whoever asked may ask again. */
export function createExplain({
  retryAfterMs,
}: Pick<Admission, 'retryAfterMs'>): (error: unknown) => Problem | undefined {
  return (error) => {
    const numbers = { retryAfterMs: retryAfterMs() };
    if (error instanceof SpoolFullError) {
      return createProblem(
        'overloaded',
        `Postgres is away, and the spool is full: ${error.message}.`,
        numbers,
      );
    }
    if (error instanceof SpoolWriteError) {
      const detail =
        'Postgres is away, and the spool could not be written. Whether anything is kept is unknown: send it again.';
      return createProblem('store_unavailable', detail, numbers);
    }
    if (error instanceof StoreFailure && error.failure === 'held_up') {
      const detail =
        'A stream of this batch is held by another transaction of the database. Nothing was stored: send it again.';
      return createProblem('store_unavailable', detail, numbers);
    }
    const failure = error instanceof StoreFailure ? error.failure : failureOf(error);
    if (failure === 'broken' || failure === 'data') return blamed(error);
    const detail =
      'Postgres cannot be reached or did not answer in time. Whether anything was stored is unknown: send it again.';
    return createProblem('store_unavailable', detail, numbers);
  };
}

function blamed(error: unknown): Problem | undefined {
  switch (blameOf(error)) {
    case 'text':
      return createProblem(
        'invalid_parameter',
        'A text has a NUL character or half of a surrogate pair, which Postgres cannot hold.',
      );
    case 'gone':
      return createProblem('stream_not_found', 'The stream was deleted at the same moment.');
    case undefined:
      return undefined;
  }
}
