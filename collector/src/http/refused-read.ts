import { createProblem, ProblemError } from '../errors.ts';
import type { PageRefusal } from '../read/page.ts';

/** The answer to a read that cannot begin where it was to begin: the same wherever a cursor is taken. */
export function refusedRead(refusal: PageRefusal, stream: string): ProblemError {
  if (refusal.refused === 'stream_not_found') return streamNotFound(stream);
  if (refusal.refused === 'invalid_cursor') {
    const detail = `The cursor belongs to another stream than ${stream}, or to one of that name that was deleted`;
    return new ProblemError(createProblem('invalid_cursor', detail));
  }
  if (refusal.refused === 'cursor_expired') {
    const { earliestCursor } = refusal;
    const detail = 'What follows the cursor is no longer kept in full: go on at earliestCursor';
    return new ProblemError(createProblem('cursor_expired', detail, { earliestCursor }));
  }
  const { resumeCursor } = refusal;
  const detail = 'The database was restored or switched since the cursor was given: go on at resumeCursor';
  return new ProblemError(createProblem('epoch_changed', detail, { resumeCursor }));
}

export function streamNotFound(name: string): ProblemError {
  const detail = `There is no stream ${JSON.stringify(name.slice(0, 80))}: post an event to it, or create it with PUT`;
  return new ProblemError(createProblem('stream_not_found', detail));
}
