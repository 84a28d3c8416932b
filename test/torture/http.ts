import { connect } from 'node:net';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { type Dispatcher, request } from 'undici';
import { type Page, parseTime, type Problem, type StoredEvent } from '@tidemark/core/wire';
import type { BatchReply } from '@tidemark/core/wire';
import { keys } from './collectors.ts';
import type { SeenEvent } from './history.ts';

/** An answer that no client should get, whatever happens to servers and networks: a finding of its own. */
export class UnexpectedAnswerError extends Error {
  override readonly name = 'UnexpectedAnswerError';
}

/** The collector or the network could not do it now: ask again. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
}

export interface Http {
  /** Resolves to the reply, or rejects with `UnavailableError`: then the outcome is unknown. */
  post(url: string, body: string, signal: AbortSignal): Promise<BatchReply>;
  /** Sends so many bytes of a request for this body, and breaks off. */
  postPart(url: string, body: string, bytes: number): Promise<void>;
  read(
    url: string,
    stream: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<ReadPage>;
  /** Messages of a live read, until it ends. Rejects with `UnavailableError` when it does not begin, or breaks. */
  live(
    url: string,
    stream: string,
    query: Readonly<Record<string, string>>,
    lastEventId: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<EventSourceMessage>;
  put(url: string, stream: string, settings: object, signal: AbortSignal): Promise<void>;
  /** Anything else, with the key of readers: an answer 200 or 409. */
  call<T>(
    method: Method,
    url: string,
    path: string,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<CallAnswer<T>>;
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

export type CallAnswer<T> =
  | { readonly status: 200; readonly body: T }
  | { readonly status: 409; readonly body: Problem };

export interface ReadPage {
  readonly events: readonly SeenEvent[];
  readonly next: string;
  readonly hasMore: boolean;
  readonly watermark: bigint;
}

export function createHttp(dispatcher: Dispatcher): Http {
  async function ask(
    method: Method,
    url: string,
    key: string,
    body: string | null,
    signal: AbortSignal,
  ): Promise<unknown> {
    const answer = await exchange(method, url, key, body, signal);
    if (answer.status !== 200) throw unexpected(method, url, answer);
    return JSON.parse(answer.text);
  }

  async function exchange(
    method: Method,
    url: string,
    key: string,
    body: string | null,
    signal: AbortSignal,
  ): Promise<Answer> {
    let status: number;
    let text: string;
    try {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      const response = await request(url, { method, headers, body, signal, dispatcher });
      status = response.statusCode;
      text = await response.body.text();
    } catch (error) {
      throw new UnavailableError('no reply', { cause: error });
    }
    if (status === 429 || status === 503) throw new UnavailableError(`${status}`);
    return { status, text };
  }

  return {
    async post(url, body, signal) {
      return (await ask('POST', `${url}/v1/events`, keys.write, body, signal)) as BatchReply;
    },

    postPart: (url, body, bytes) =>
      new Promise((resolve) => {
        const { hostname, port } = new URL(url);
        const socket = connect({ host: hostname, port: Number(port) });
        socket.on('error', () => undefined);
        socket.once('close', () => resolve());
        socket.write(
          `POST /v1/events HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${keys.write}\r\n` +
            `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`,
        );
        socket.write(Buffer.from(body).subarray(0, bytes), () => socket.destroy());
      }),

    async read(url, stream, query, signal) {
      const address = `${url}/v1/streams/${stream}/events?${new URLSearchParams(query).toString()}`;
      const page = (await ask('GET', address, keys.read, null, signal)) as Page;
      return {
        events: page.events.map(seenEvent),
        next: page.nextCursor,
        hasMore: page.hasMore,
        watermark: micros(page.watermark),
      };
    },

    async *live(url, stream, query, lastEventId, signal) {
      const address = `${url}/v1/streams/${stream}/events?${new URLSearchParams(query).toString()}`;
      const messages: EventSourceMessage[] = [];
      const parser = createParser({ onEvent: (message) => void messages.push(message) });
      const headers = {
        authorization: `Bearer ${keys.read}`,
        accept: 'text/event-stream',
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      };
      const response = await request(address, { headers, signal, dispatcher }).catch((error: unknown) => {
        throw new UnavailableError('no reply', { cause: error });
      });
      const status = response.statusCode;
      if (status !== 200) {
        const text = await response.body.text().catch(() => '');
        if (status === 429 || status === 503) throw new UnavailableError(`${status}`);
        throw unexpected('GET', address, { status, text });
      }
      const decoder = new TextDecoder();
      try {
        for await (const chunk of response.body) {
          parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
          yield* messages.splice(0);
        }
      } catch (error) {
        throw new UnavailableError('it broke', { cause: error });
      }
    },

    async call<T>(
      method: Method,
      url: string,
      path: string,
      body: object | undefined,
      signal: AbortSignal,
    ): Promise<CallAnswer<T>> {
      const sent = body === undefined ? null : JSON.stringify(body);
      const answer = await exchange(method, `${url}${path}`, keys.read, sent, signal);
      const { status, text } = answer;
      if (status === 200) return { status, body: JSON.parse(text) as T };
      if (status === 409) return { status, body: JSON.parse(text) as Problem };
      throw unexpected(method, path, answer);
    },

    async put(url, stream, settings, signal) {
      await ask('PUT', `${url}/v1/streams/${stream}`, keys.admin, JSON.stringify(settings), signal);
    },
  };
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function unexpected(method: string, url: string, { status, text }: Answer): UnexpectedAnswerError {
  return new UnexpectedAnswerError(`${method} ${url}: ${status} ${text.slice(0, 500)}`);
}

export function seenEvent(event: StoredEvent): SeenEvent {
  return {
    id: event.id,
    number: event.props?.['number'],
    cursor: event.cursor,
    orderTime: micros(event.orderTime),
    eventTime: micros(event.eventTime),
    late: event.late,
    lateByMs: event.lateByMs,
  };
}

export function micros(text: string): bigint {
  const time = parseTime(text);
  if (time === undefined) throw new UnexpectedAnswerError(`${text} is no time`);
  return time;
}
