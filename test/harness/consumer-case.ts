// Requests about one consumer, as tests make them.

import type { Committed, Consumer, Lease, Problem } from '@tidemark/core/wire';
import { paths } from '@tidemark/core/wire';
import { readKey, type RequestOptions, type TestCollector } from './collector.ts';

/** A status, and the body with it. */
export interface Answer<T> {
  readonly status: number;
  readonly body: T & Problem;
}

export interface ConsumerCase {
  readonly name: string;
  put(settings?: object): Promise<Answer<Consumer>>;
  get(): Promise<Answer<Consumer>>;
  remove(): Promise<Answer<{ deleted: boolean }>>;
  lease(member: string, change?: object): Promise<Answer<Lease>>;
  release(member: string, lease: Pick<Lease, 'shard' | 'generation'>): Promise<Answer<{ released: boolean }>>;
  commit(shard: number, body: object): Promise<Answer<Committed>>;
  seek(body: object): Promise<Answer<Consumer>>;
}

/** The same consumer may be asked for through several collectors. */
export function createConsumerCase(
  collector: Pick<TestCollector, 'request'>,
  stream: string,
  name: string,
  key: string = readKey,
): ConsumerCase {
  async function ask<T>(path: string, options: RequestOptions): Promise<Answer<T>> {
    const response = await collector.request(path, { key, ...options });
    return { status: response.status, body: (await response.json()) as T & Problem };
  }
  const path = paths.consumer(stream, name);
  return {
    name,
    put: (settings = {}) => ask(path, { method: 'PUT', body: settings }),
    get: () => ask(path, { method: 'GET' }),
    remove: () => ask(path, { method: 'DELETE' }),
    lease: (member, change = {}) =>
      ask(paths.consumerLease(stream, name), { body: { member, ttlMs: 30_000, ...change } }),
    release: (member, { shard, generation }) =>
      ask(paths.consumerLease(stream, name), { method: 'DELETE', body: { member, shard, generation } }),
    commit: (shard, body) => ask(paths.consumerCursor(stream, name, shard), { method: 'PUT', body }),
    seek: (body) => ask(paths.consumerSeek(stream, name), { body }),
  };
}
