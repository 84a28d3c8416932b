import type { Problem, ProblemCode } from '@tidemark/core/wire';

/** What a read ends with when trying again cannot help. */
export class TidemarkError extends Error {
  override readonly name = 'TidemarkError';
  readonly status: number;
  /** Decide by it. `unknown` where the answer did not come from a collector. */
  readonly code: ProblemCode | 'unknown';
  /** All that the collector said; `earliestCursor` and `resumeCursor` are here. */
  readonly problem: Partial<Problem>;

  constructor(status: number, problem: Partial<Problem>) {
    super(
      `${problem.detail ?? problem.title ?? 'The request was refused'} (${status} ${problem.code ?? 'unknown'})`,
    );
    this.status = status;
    this.code = problem.code ?? 'unknown';
    this.problem = problem;
  }
}
