import { problems } from '@tidemark/core/wire';
import type { WireReply } from './replies.ts';
import type { WireRequest } from './request.ts';

/** What is wrong with the replies to a request, or undefined. */
export function faultOf(request: WireRequest, replies: readonly WireReply[]): string | undefined {
  for (const reply of replies) {
    const fault = faultOfReply(reply);
    if (fault !== undefined) return fault;
  }
  if (!request.sound) return undefined;
  const final = replies.filter(({ status }) => status >= 200);
  if (final.length !== 1) return `${final.length} replies to one request`;
  // Live replies are meant to stay open.
  const live = final[0]?.headers.get('content-type')?.startsWith('text/event-stream') === true;
  return final[0]?.whole === true || live ? undefined : 'a reply without an end';
}

/** What Node's own parser answers before any of our code is asked. */
const parserStatuses = new Set([400, 408, 413, 431]);

function faultOfReply({ status, headers, body, whole }: WireReply): string | undefined {
  const text = body.toString('utf8');
  if (!(status >= 100 && status <= 599)) return `no status: ${text.slice(0, 200)}`;
  // A database that is slow for a moment may be said to be away; how often is judged at the end.
  if (status >= 500 && status !== 503) return `${status}: ${text.slice(0, 500)}`;
  if (status < 400 || !whole) return undefined;
  const type = headers.get('content-type');
  if (type === undefined) {
    const bare = (parserStatuses.has(status) && headers.get('connection') === 'close') || body.length === 0;
    return bare ? undefined : `${status} without a type: ${text.slice(0, 200)}`;
  }
  if (type !== 'application/problem+json') return `${status} as ${type}: ${text.slice(0, 200)}`;
  if (body.length === 0) return undefined;
  return faultOfProblem(status, text);
}

function faultOfProblem(status: number, text: string): string | undefined {
  let problem: unknown;
  try {
    problem = JSON.parse(text);
  } catch {
    return `a problem that is not JSON: ${text.slice(0, 200)}`;
  }
  const { code, detail } = problem as { code?: unknown; detail?: unknown };
  const known =
    typeof code === 'string' && Object.hasOwn(problems, code)
      ? problems[code as keyof typeof problems]
      : undefined;
  if (known?.status !== status) return `${status} with code ${String(code)}`;
  if (typeof detail !== 'string' || detail.length > 1_000)
    return `a detail of ${String(detail).length} characters`;
  // Nothing of the inside.
  if (/\bat .{1,200}\.[cm]?[jt]s:\d|node_modules|tidemark\.\w+\(|syntax error at or near/.test(detail))
    return `a detail that tells too much: ${detail}`;
  return undefined;
}
