import type { Hono } from 'hono';

/** What we need of a Hono app to see its routes. */
export type Routed = Pick<Hono, 'router'>;

const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'];

/**
 * The methods that a path has routes for, as an `Allow` header lists them: with HEAD where there is GET, and OPTIONS; empty for a
 * path without any. Routes for all methods, as middleware has them, do not count.
 */
export function allowedMethods(app: Routed, path: string): readonly string[] {
  const routed = methods.filter((method) => {
    const [handlers] = app.router.match(method, path);
    return handlers.some(([[, route]]) => route.method === method);
  });
  if (routed.length === 0) return [];
  return [...routed.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])), 'OPTIONS'];
}
