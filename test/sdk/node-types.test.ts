// What the compiler says of calls; the type check of the tests fails when one of these expectations is wrong.

import { type AnyEvents, type Client, createClient, type EventOf, type StoredEvent } from '@tidemark/node';
import { describe, expectTypeOf, onTestFinished, test } from 'vitest';

interface Shop {
  'order placed': { readonly total: number; readonly coupon?: string };
  'page viewed': { readonly path?: string };
  'signed out': undefined;
}

function createTestClient<Events extends { readonly [Name in keyof Events]: object | undefined }>() {
  const client = createClient<Events>({ url: 'http://127.0.0.1:1', key: 'k', exitMs: 0 });
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  return client;
}

describe('a client with a map of events', () => {
  test('takes the names of the map with their props', () => {
    const client = createTestClient<Shop>();
    client.track('order placed', { total: 12.5 });
    client.track('order placed', { total: 12.5, coupon: 'X' }, { key: 'anna', occurredAt: new Date(0) });
    client.track('page viewed');
    client.track('page viewed', { path: '/' });
    client.track('signed out');
    client.track('signed out', undefined, { stream: 's' });
    expectTypeOf(client).toEqualTypeOf<Client<Shop>>();
    expectTypeOf(client.track('signed out')).toEqualTypeOf<PromiseLike<void> | undefined>();
  });

  test('takes nothing else', () => {
    const client = createTestClient<Shop>();
    // @ts-expect-error no such name
    client.track('order plcaed', { total: 12.5 });
    // @ts-expect-error props are missing
    client.track('order placed');
    // @ts-expect-error of the wrong type
    client.track('order placed', { total: '12.5' });
    // @ts-expect-error one too many
    client.track('page viewed', { path: '/', title: 'x' });
    // @ts-expect-error has no props
    client.track('signed out', { why: 'tired' });
    // @ts-expect-error no such option
    client.track('signed out', undefined, { sream: 's' });
  });
});

describe('reading with a map of events', () => {
  test('gives each name with its props', () => {
    const client = createTestClient<Shop>();
    type Read = EventOf<Shop>;
    expectTypeOf(client.read('s')).toEqualTypeOf<AsyncGenerator<Read, void, undefined>>();
    expectTypeOf<Extract<Read, { name: 'order placed' }>['props']['total']>().toEqualTypeOf<number>();
    expectTypeOf<Read['name']>().toEqualTypeOf<keyof Shop>();
    const start = () =>
      client.consume('s', { consumer: 'c' }, (page, { signal }) => {
        expectTypeOf(page.events).toEqualTypeOf<readonly Read[]>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      });
    expectTypeOf(start).returns.toEqualTypeOf<Promise<void>>();
    // @ts-expect-error a consumer has a name
    const nameless = () => client.consume('s', {}, () => {});
    expectTypeOf(nameless).toBeFunction();
  });

  test('and without one gives events as they are stored', () => {
    expectTypeOf<EventOf<AnyEvents>>().toEqualTypeOf<StoredEvent>();
  });
});

test('a client without a map takes any name and any object', () => {
  const client = createTestClient<AnyEvents>();
  client.track('anything');
  client.track('anything', { at: 'all' }, { id: '1' });
  // @ts-expect-error props are an object
  client.track('anything', 7);
});

test('options that cannot be right do not compile', () => {
  // @ts-expect-error there is no such option
  const withTypo = () => createClient({ url: 'http://127.0.0.1:1', key: 'k', lingerMS: 5 });
  // @ts-expect-error no such policy
  const withWrongPolicy = () => createClient({ url: 'http://127.0.0.1:1', key: 'k', whenFull: 'wait' });
  // @ts-expect-error a key is needed
  const withoutKey = () => createClient({ url: 'http://127.0.0.1:1' });
  expectTypeOf([withTypo, withWrongPolicy, withoutKey]).toBeArray();
});
