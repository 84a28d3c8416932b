import { headers, type Problem } from '@tidemark/core/wire';
import type { Metrics } from '../metrics.ts';
import { corsHeaders } from './cors.ts';

type HeaderRecord = Record<string, string>;

/**
 * How routes answer. Headers are plain objects on purpose: the server writes them as they are, while a `Headers` costs more
 * than all else that a small reply needs. That matters on the hot path; elsewhere `complete` adds them afterwards.
 */
export interface Replies {
  /** 200 with JSON. */
  readonly json: (value: unknown) => Response;
  /** 200 with text that is ready, or its bytes: JSON that was rendered by hand, say. */
  readonly text: (body: string | Uint8Array<ArrayBuffer>, contentType: string) => Response;
  /** 200 with a body that is still being made. */
  readonly open: (body: ReadableStream<Uint8Array>, contentType: string) => Response;
  /** `application/problem+json` with all that belongs to the status. */
  readonly problem: (problem: Problem, more?: HeaderRecord) => Response;
  /** 200 with text that pages of other origins cannot read. */
  readonly sameOrigin: (body: string, contentType: string) => Response;
  /** Adds what every reply carries to one that was not made here. */
  readonly complete: (response: Response) => void;
}

export interface RepliesOptions {
  /** 0–1: how full the collector is. */
  readonly pressure: () => number;
  readonly metrics: Metrics;
}

export function createReplies({ pressure, metrics }: RepliesOptions): Replies {
  const completed = new WeakSet<Response>();

  function reply(
    body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
    status: number,
    more: HeaderRecord,
  ): Response {
    const response = new Response(body, { status, headers: more });
    completed.add(response);
    return response;
  }

  /** What every reply carries. Written out: V8 takes fifty times as long to spread objects of this size. */
  function everyHeaders(contentType: string): HeaderRecord {
    return {
      'Content-Type': contentType,
      'Access-Control-Allow-Origin': corsHeaders['Access-Control-Allow-Origin'],
      'Access-Control-Expose-Headers': corsHeaders['Access-Control-Expose-Headers'],
      Vary: corsHeaders.Vary,
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      [headers.pressure]: pressure().toFixed(2),
    };
  }

  const text = (body: string | Uint8Array<ArrayBuffer>, contentType: string): Response =>
    reply(body, 200, everyHeaders(contentType));

  return {
    json: (value) => text(JSON.stringify(value), 'application/json'),
    text,
    open(body, contentType) {
      // Proxies that collect what is to arrive now are told not to.
      return reply(body, 200, { ...everyHeaders(contentType), 'X-Accel-Buffering': 'no' });
    },
    problem(problem, more) {
      metrics.problems.inc({ code: problem.code });
      const all = everyHeaders('application/problem+json');
      return reply(JSON.stringify(problem), problem.status, Object.assign(all, headersOf(problem), more));
    },
    sameOrigin(body, contentType) {
      return reply(body, 200, {
        'Content-Type': contentType,
        'Cache-Control': 'no-store',
        [headers.pressure]: pressure().toFixed(2),
      });
    },
    complete(response) {
      if (completed.has(response)) return;
      const { 'Content-Type': _, ...missing } = everyHeaders('');
      for (const [name, value] of Object.entries(missing)) {
        if (!response.headers.has(name)) response.headers.set(name, value);
      }
    },
  };
}

/** What a status asks for: where to find a key, when to come back, how full we are. */
function headersOf({ status, code, retryAfterMs }: Problem): HeaderRecord {
  const found: HeaderRecord = {};
  if (status === 401) found['WWW-Authenticate'] = 'Bearer realm="tidemark"';
  if (retryAfterMs !== undefined) {
    found['Retry-After'] = String(Math.max(1, Math.ceil(retryAfterMs / 1_000)));
  }
  if (status === 503 || code === 'overloaded') found[headers.pressure] = '1.00';
  return found;
}
