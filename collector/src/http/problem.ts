import type { Problem } from '@tidemark/core/wire';
import type { ErrorHandler, NotFoundHandler } from 'hono';
import type { Clock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';
import type { Log } from '../log.ts';
import { allowedMethods, type Routed } from './allowed-methods.ts';
import type { Replies } from './respond.ts';

export interface ExplainerDependencies {
  readonly log: Log;
  readonly clock: Pick<Clock, 'randomBytes'>;
  /** Knows the errors of other rooms, a lost database above all. */
  readonly explain?: (error: unknown) => Problem | undefined;
}

export interface ErrorHandlerDependencies extends ExplainerDependencies {
  readonly replies: Replies;
}

/** What to say of an error that came up while this request was handled. */
export type Explain = (
  error: unknown,
  request: { readonly method: string; readonly path: string },
) => Problem;

/**
 * Turns whatever a handler threw into a problem. What nobody expected is logged under an id that the problem names, and the
 * problem tells nothing else of it.
 */
export function createExplainer({ log, clock, explain }: ExplainerDependencies): Explain {
  return (error, { method, path }) => {
    const request = { method, path };
    const problem = error instanceof ProblemError ? error.problem : explain?.(error);
    if (problem !== undefined) {
      if (problem.status >= 500) log.warn({ ...request, code: problem.code, err: error }, 'request refused');
      return problem;
    }
    const requestId = clock.randomBytes(8).toString('hex');
    log.error({ ...request, requestId, err: error }, 'request failed');
    return createProblem('internal', `The collector's log has the cause under request ${requestId}.`);
  };
}

/** For `app.onError(…)`. */
export function createErrorHandler({ replies, ...dependencies }: ErrorHandlerDependencies): ErrorHandler {
  const problemOf = createExplainer(dependencies);
  return (error, context) => replies.problem(problemOf(error, context.req));
}

/** 405 for a path that other methods have, else 404. For `app.notFound(…)`. */
export function createNotFound(app: Routed, replies: Replies): NotFoundHandler {
  return (context) => {
    const { method, path } = context.req;
    const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
    const allowed = allowedMethods(app, path);
    if (allowed.length === 0) {
      return replies.problem(
        createProblem('not_found', `There is no ${shown} here; /openapi.json lists what there is.`),
      );
    }
    const allow = allowed.join(', ');
    const detail = `${method} is not allowed on ${shown}; allowed are ${allow}.`;
    return replies.problem(createProblem('method_not_allowed', detail), { Allow: allow });
  };
}
