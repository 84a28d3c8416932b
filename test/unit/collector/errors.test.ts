import { type ProblemCode, problems } from '@tidemark/core/wire';
import { expect, test } from 'vitest';
import { createProblem, ProblemError } from '../../../collector/src/errors.ts';

test('a problem has the status and title of its code, and a type that is a URI', () => {
  for (const code of Object.keys(problems) as ProblemCode[]) {
    const problem = createProblem(code, 'why', {
      limit: 1,
      actual: 2,
      retryAfterMs: 3,
      earliestCursor: 'a',
      resumeCursor: 'b',
    });
    expect(problem).toMatchObject({ ...problems[code], code, detail: 'why', retryAfterMs: 3 });
    expect(URL.canParse(problem.type)).toBe(true);
  }
});

test('codes that a client answers with arithmetic do not type-check without their numbers', () => {
  createProblem('malformed', 'no numbers needed');
  createProblem('overloaded', 'full', { retryAfterMs: 1_000 });
  // @ts-expect-error: when to come back
  createProblem('overloaded', 'full');
  // @ts-expect-error: what the limit is
  createProblem('body_too_large', 'too large', { actual: 5 });
  // @ts-expect-error: where to go on
  createProblem('cursor_expired', 'gone');
});

test('a detail that repeats too much of what was sent is cut', () => {
  expect(createProblem('malformed', 'x'.repeat(1_000)).detail).toBe('x'.repeat(1_000));
  expect(createProblem('malformed', 'x'.repeat(100_000)).detail).toBe(`${'x'.repeat(999)}…`);
});

test('a thrown problem says its code, and keeps its cause for the log', () => {
  const cause = new Error('connect ECONNREFUSED');
  const error = new ProblemError(createProblem('malformed', 'not JSON'), cause);
  expect(error).toMatchObject({ message: 'malformed: not JSON', cause, problem: { status: 400 } });
});
