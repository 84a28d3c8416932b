import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import type { BatchReply, EventResult, SentEvent } from '@tidemark/core/wire';

/**
 * The far side of an SDK as a real HTTP server: it stores by id, and does what a fault asks for. It keeps what it saw, for
 * tests to look at.
 */
export interface SmallCollector {
  readonly url: string;
  /** Events in the order they were stored, each once. */
  readonly stored: SentEvent[];
  /** Every request that was read in full. */
  readonly requests: SeenRequest[];
  /** Events that came again and were not stored. */
  duplicates(): number;
  /** Sockets open at the same time, at most. */
  socketsMax(): number;
  /** What to do with a request to post events, asked before anything is stored. */
  fault: (request: SeenRequest) => Fault | undefined;
  /** The same for `GET /v1/time`. */
  timeFault: (request: SeenRequest) => Fault | undefined;
  /** Closes the listener and every socket; the port stays ours to listen on again. */
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
}

export interface SeenRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly at: number;
  readonly events: readonly SentEvent[];
  readonly bodyBytes: number;
  status: number | undefined;
}

export type Fault =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: object | string;
    }
  /** The connection is cut before or after the events were stored. */
  | { readonly kind: 'cut'; readonly stored: boolean }
  /** Never answered. */
  | { readonly kind: 'hang' }
  /** Stored, and answered only then. */
  | { readonly kind: 'late'; readonly until: Promise<void> }
  /** Stored, but some events are refused. */
  | { readonly kind: 'reject'; readonly ids: ReadonlySet<string> }
  | { readonly kind: 'pressure'; readonly value: number };

export async function startSmallCollector(): Promise<SmallCollector> {
  const ids = new Set<string>();
  const stored: SentEvent[] = [];
  const requests: SeenRequest[] = [];
  let duplicates = 0;
  let sockets = 0;
  let socketsMax = 0;
  const server = createServer((request, response) => {
    void readRequest(request).then(
      (seen) => {
        requests.push(seen);
        answer(seen, response);
      },
      () => response.destroy(),
    );
  });
  server.on('connection', (socket) => {
    sockets++;
    socketsMax = Math.max(socketsMax, sockets);
    socket.on('close', () => sockets--);
  });
  await listen(0);
  const { port } = server.address() as AddressInfo;

  const collector: SmallCollector = {
    url: `http://127.0.0.1:${port}`,
    stored,
    requests,
    duplicates: () => duplicates,
    socketsMax: () => socketsMax,
    fault: () => undefined,
    timeFault: () => undefined,
    down,
    up: () => listen(port),
    close: down,
  };
  return collector;

  function listen(on: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(on, '127.0.0.1', () => resolve());
    });
  }

  function down(): Promise<void> {
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  function answer(seen: SeenRequest, response: ServerResponse): void {
    const isTime = seen.path === '/v1/time';
    const fault = isTime ? collector.timeFault(seen) : collector.fault(seen);
    const send = (status: number, body: object | string, headers: Record<string, string> = {}): void => {
      seen.status = status;
      response.writeHead(status, { 'content-type': 'application/json', ...corsHeaders, ...headers });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    };
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'answer') return send(fault.status, fault.body ?? {}, fault.headers);
    if (fault?.kind === 'cut' && !fault.stored) return void response.destroy();
    if (isTime) return send(200, times(seen));
    if (seen.headers.authorization === undefined && !seen.query.has('key')) {
      return send(401, { status: 401, code: 'unauthenticated', detail: 'no key' });
    }
    const reply = store(seen, fault?.kind === 'reject' ? fault.ids : new Set());
    if (fault?.kind === 'cut') return void response.destroy();
    if (fault?.kind === 'late') return void fault.until.then(() => send(200, reply));
    send(200, reply, fault?.kind === 'pressure' ? { 'tidemark-pressure': fault.value.toFixed(2) } : {});
  }

  function store(seen: SeenRequest, refused: ReadonlySet<string>): BatchReply {
    const results: EventResult[] = [];
    for (const [index, event] of seen.events.entries()) {
      const id = event.id ?? '';
      if (refused.has(id)) {
        results.push({
          index,
          id,
          status: 'rejected',
          code: 'invalid_props',
          message: 'refused by the test',
        });
      } else if (ids.has(id)) {
        duplicates++;
        results.push({ index, id, status: 'duplicate' });
      } else {
        ids.add(id);
        stored.push(event);
      }
    }
    const rejected = results.filter(({ status }) => status === 'rejected').length;
    const accepted = seen.events.length - results.length;
    const counts = { accepted, rejected, duplicates: results.length - rejected };
    return { ...times(seen), durability: 'committed', ...counts, results };
  }
}

const corsHeaders = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'Retry-After, Tidemark-Pressure',
};

function times(seen: SeenRequest): { receivedAt: string; respondedAt: string } {
  return { receivedAt: new Date(seen.at).toISOString(), respondedAt: new Date().toISOString() };
}

async function readRequest(request: IncomingMessage): Promise<SeenRequest> {
  const at = Date.now();
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const raw = Buffer.concat(chunks);
  // A page cannot say that its `text/plain` is gzip: its first bytes do.
  const isGzip = raw[0] === 0x1f && raw[1] === 0x8b;
  const text = isGzip ? gunzipSync(raw).toString() : raw.toString();
  const url = new URL(request.url ?? '/', 'http://collector');
  const body = text === '' ? { events: [] } : (JSON.parse(text) as { events: SentEvent[] });
  return {
    path: url.pathname,
    query: url.searchParams,
    headers: request.headers,
    at,
    events: body.events,
    bodyBytes: raw.length,
    status: undefined,
  };
}
