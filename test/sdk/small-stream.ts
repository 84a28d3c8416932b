import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page, StoredEvent } from '@tidemark/core/wire';

/** A stream that can be read page by page over HTTP: event n has the cursor `c<n>`. It grows, and fails as told. */
export interface SmallStream {
  readonly url: string;
  append(count: number): void;
  /** Cursors of the requests as they came (`''`: from the start). */
  readonly asked: string[];
  readonly queries: URLSearchParams[];
  /** Asked before each answer; true: this function has answered. */
  fault: (response: ServerResponse, cursor: string) => boolean;
  down(): Promise<void>;
  up(): Promise<void>;
}

const pageEvents = 10;

export async function startSmallStream(): Promise<SmallStream> {
  const events: StoredEvent[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '/', 'http://stream');
    const cursor = searchParams.get('cursor') ?? '';
    stream.asked.push(cursor);
    stream.queries.push(searchParams);
    if (stream.fault(response, cursor)) return;
    const start = cursor === '' ? 0 : Number(cursor.slice(1)) + 1;
    const answer = (): void => {
      waiting.delete(answer);
      const given = events.slice(start, start + pageEvents);
      const last = start + given.length - 1;
      const page: Page = {
        events: given,
        nextCursor: last < 0 ? '' : `c${last}`,
        hasMore: last < events.length - 1,
        watermark: '2026-01-01T00:00:00.000000Z',
        behindMs: 0,
      };
      response.end(JSON.stringify(page));
    };
    if (start >= events.length && searchParams.has('wait')) waiting.add(answer);
    else answer();
  });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const stream: SmallStream = {
    url: `http://127.0.0.1:${port}`,
    asked: [],
    queries: [],
    fault: () => false,
    append(count) {
      for (let index = 0; index < count; index++) events.push(eventOf(events.length));
      for (const answer of waiting) answer();
    },
    down() {
      waiting.clear();
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
    up: () => listen(port),
  };
  return stream;

  function listen(on: number): Promise<void> {
    return new Promise((resolve) => server.listen(on, '127.0.0.1', () => resolve()));
  }
}

function eventOf(index: number): StoredEvent {
  const at = '2026-01-01T00:00:00.000000Z';
  return {
    id: `${index}`,
    stream: 's',
    name: 'n',
    key: null,
    props: { index },
    occurredAt: at,
    sentAt: at,
    receivedAt: at,
    eventTime: at,
    orderTime: at,
    late: false,
    lateByMs: 0,
    timeQuality: 'ok',
    cursor: `c${index}`,
  };
}
