import { headers } from '@tidemark/core/wire';
import type { Handler } from 'hono';
import { allowedMethods, type Routed } from './allowed-methods.ts';

/**
 * Any page may call, as no call rests on who the browser's user is: cookies are never looked at, every key is sent on purpose,
 * and a key that is bound to origins is refused elsewhere, with an answer that the page can read. Hence `*` and one answer to
 * every preflight, which comes without the key.
 */
export const corsHeaders = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers': `Retry-After, ${headers.pressure}`,
  Vary: 'Origin',
} as const;

/** Ours, and those of the clients of others whose formats we read. */
const allowedHeaders = [
  'authorization',
  'content-type',
  'content-encoding',
  headers.sentAt.toLowerCase(),
  'last-event-id',
  'anonymousid',
  'sentat',
  'x-retry-count',
];

/** Two hours: the most that Chromium keeps. */
const preflightMaxAgeSeconds = 7_200;

const preflightHeaders = {
  ...corsHeaders,
  'Access-Control-Allow-Methods': 'GET, HEAD, POST, PUT, DELETE',
  'Access-Control-Allow-Headers': allowedHeaders.join(', '),
  'Access-Control-Max-Age': String(preflightMaxAgeSeconds),
};

/** Answers OPTIONS: a browser's preflight, or a look at what a path allows. For `app.options('*', …)`. */
export function createPreflight(app: Routed): Handler {
  return async (context, next) => {
    const allowed = allowedMethods(app, context.req.path);
    if (allowed.length === 0) return next();
    const preflight = context.req.header('access-control-request-method') !== undefined;
    return new Response(null, {
      status: 204,
      headers: { ...(preflight ? preflightHeaders : corsHeaders), Allow: allowed.join(', ') },
    });
  };
}
