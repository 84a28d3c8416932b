import { type Problem, type ProblemCode, problems } from '@tidemark/core/wire';

/** A refusal on its way out: thrown where there is no better way back, made into an answer by `http/problem`. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: Problem;

  /** `cause` is logged, never sent. */
  constructor(problem: Problem, cause?: unknown) {
    super(`${problem.code}: ${problem.detail}`, cause === undefined ? undefined : { cause });
    this.problem = problem;
  }
}

/**
 * A problem as it is sent. `detail` is for people: what happened, which value, which limit, what to do; never a secret, a
 * stack or SQL. Codes that a client answers with arithmetic must bring their numbers.
 */
export function createProblem<Code extends ProblemCode>(
  code: Code,
  detail: string,
  ...[numbers]: NumbersOf<Code>
): Problem {
  const { status, title } = problems[code];
  return { type: `urn:tidemark:problem:${code}`, title, status, code, detail: shortened(detail), ...numbers };
}

/** What a client sent is shown to it, but not all of what it sent. */
const detailCharactersMax = 1_000;

function shortened(detail: string): string {
  return detail.length > detailCharactersMax ? `${detail.slice(0, detailCharactersMax - 1)}…` : detail;
}

type StatusOf<Code extends ProblemCode> = (typeof problems)[Code]['status'];
type Numbers = Pick<Problem, 'limit' | 'actual' | 'retryAfterMs' | 'earliestCursor' | 'resumeCursor'>;
type With<Name extends keyof Numbers> = [numbers: Numbers & Required<Pick<Numbers, Name>>];

type NumbersOf<Code extends ProblemCode> =
  StatusOf<Code> extends 429 | 503
    ? With<'retryAfterMs'>
    : StatusOf<Code> extends 413
      ? With<'limit' | 'actual'>
      : Code extends 'cursor_expired'
        ? With<'earliestCursor'>
        : Code extends 'epoch_changed' | 'cursor_conflict'
          ? With<'resumeCursor'>
          : [numbers?: Numbers];
