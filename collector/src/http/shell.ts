import type { MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Replies } from './respond.ts';

export interface ShellDependencies {
  readonly replies: Replies;
  readonly log: Log;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly metrics: Metrics;
}

/**
 * What happens around every request: its reply gets the headers that all have, it is counted, and logged at `debug` without its
 * query, as that may hold a key. For `app.use(…)`, before all routes.
 */
export function createShell({ replies, log, clock, metrics }: ShellDependencies): MiddlewareHandler {
  return async (context, next) => {
    const startMs = clock.monotonicMs();
    await next();
    replies.complete(context.res);
    const ms = clock.monotonicMs() - startMs;
    const { method: sent, path } = context.req;
    const method = knownMethods.has(sent) ? sent : 'other';
    const { status } = context.res;
    // The last match is the route itself; what matches all methods is middleware.
    const matched = matchedRoutes(context).at(-1);
    const route = matched === undefined || matched.method === 'ALL' ? 'none' : matched.path;
    metrics.requests.inc({ route, method, status });
    metrics.requestSeconds.observe({ route, method }, ms / 1_000);
    if (log.isLevelEnabled('debug')) log.debug({ method: sent, path, status, ms }, 'request');
  };
}

/** Others are counted as one, as a client may invent any number of them. */
const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']);
