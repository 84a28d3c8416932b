import type { StoredEvent } from '@tidemark/core/wire';
import { createParser, type EventSourceMessage } from 'eventsource-parser';

/** A live read as a test sees it. */
export interface TestEventSource {
  readonly status: number;
  readonly headers: Headers;
  /** All messages so far. */
  readonly messages: readonly EventSourceMessage[];
  /** The `retry:` that was said last. */
  readonly retryMs: () => number | undefined;
  /** Resolves when the server has ended it; rejects when the connection broke. */
  readonly ended: Promise<void>;
  /** Events of all `events` messages. */
  readonly events: readonly StoredEvent[];
  close(): void;
}

/** Opens a live read over a socket. */
export async function openEventSource(
  url: string,
  key: string,
  headers: Record<string, string> = {},
): Promise<TestEventSource> {
  const closing = new AbortController();
  const response = await fetch(url, {
    headers: { authorization: `Bearer ${key}`, accept: 'text/event-stream', ...headers },
    signal: closing.signal,
  });
  const messages: EventSourceMessage[] = [];
  const events: StoredEvent[] = [];
  let retryMs: number | undefined;
  const parser = createParser({
    onEvent(message) {
      messages.push(message);
      if (message.event === 'events') events.push(...(JSON.parse(message.data) as StoredEvent[]));
    },
    onRetry: (ms) => {
      retryMs = ms;
    },
  });
  async function read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
  }
  const ended = read().catch((error: unknown) => {
    if (!closing.signal.aborted) throw error;
  });
  ended.catch(() => undefined);
  return {
    status: response.status,
    headers: response.headers,
    messages,
    retryMs: () => retryMs,
    ended,
    events,
    close: () => closing.abort(),
  };
}
