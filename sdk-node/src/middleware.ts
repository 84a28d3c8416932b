import type { TrackOptions } from '@tidemark/core';

/** What is used of a request's context: Hono's has it. */
export interface RequestContext {
  readonly req: { readonly method: string; readonly path: string };
  readonly res: { readonly status: number };
}

export interface MiddlewareOptions<Context extends RequestContext = RequestContext> {
  /** The event's name. Default `http.request`. */
  readonly name?: string | undefined;
  /** Default: the key's default stream. */
  readonly stream?: string | undefined;
  /** What the event is about: the signed-in user, say. Asked after the request was handled. */
  readonly key?: ((context: Context) => string | undefined) | undefined;
  /** More props, or other ones. Asked after the request was handled. */
  readonly props?: ((context: Context) => object) | undefined;
  /** true: no event for this request. */
  readonly skip?: ((context: Context) => boolean) | undefined;
}

/** Hono middleware, or that of whatever passes a context and `next`. */
export type Middleware<Context extends RequestContext> = (
  context: Context,
  next: () => Promise<void>,
) => Promise<void>;

/**
 * Tracks an event for each request, when it has been handled: method, path, status and milliseconds. It never changes the answer, and the
 * answer never waits for it. Paths are without their query, which may hold secrets.
 */
export function createMiddleware<Context extends RequestContext>(
  track: (name: string, props: object, options: TrackOptions) => unknown,
  { name = 'http.request', stream, key, props, skip }: MiddlewareOptions<Context>,
  monotonicMs: () => number,
): Middleware<Context> {
  return async (context, next) => {
    const startedMs = monotonicMs();
    try {
      await next();
    } finally {
      tell(context, Math.round((monotonicMs() - startedMs) * 1_000) / 1_000);
    }
  };

  function tell(context: Context, ms: number): void {
    try {
      if (skip?.(context)) return;
      const { req, res } = context;
      const facts = { method: req.method, path: req.path, status: res.status, ms };
      track(name, { ...facts, ...props?.(context) }, { stream, key: key?.(context) });
    } catch {
      // A mistake in one of the functions above costs an event and not an answer.
    }
  }
}
