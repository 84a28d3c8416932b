import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import type { Metrics } from '../metrics.ts';
import type { Authenticate } from './authenticate.ts';
import type { Replies } from './respond.ts';

export interface MetricsDependencies {
  readonly metrics: Metrics;
  readonly authenticate: Authenticate;
  readonly replies: Replies;
}

/**
 * `GET /metrics` for Prometheus: on loopback without a key, else with the admin key. Unlike all other replies this one is not
 * for pages of other origins: a page in the operator's own browser is on loopback too.
 */
export function createMetricsRoute({ metrics, authenticate, replies }: MetricsDependencies): Hono {
  return new Hono().get('/metrics', async (context) => {
    if (!asksOnLoopback(context)) await authenticate(context, { role: 'admin' });
    const { contentType, body } = await metrics.text();
    return replies.sameOrigin(body, contentType);
  });
}

/**
 * Both ends are this machine, and the request is its own: not passed on by a proxy beside us, and not sent by a page whose
 * host name was pointed here.
 */
function asksOnLoopback(context: Context): boolean {
  const { incoming }: Partial<HttpBindings> = context.env ?? {};
  const address = incoming?.socket.remoteAddress ?? '';
  if (!/^(127\.|::1$|::ffff:127\.)/.test(address)) return false;
  if (proxyHeaders.some((name) => context.req.header(name) !== undefined)) return false;
  return /^(localhost|127\.[\d.]+|\[::1\])$/.test(new URL(context.req.url).hostname);
}

const proxyHeaders = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'];
