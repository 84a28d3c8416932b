// What the compiler says of calls; the type check of the tests fails when one of these expectations is wrong. On a server, as here, a
// client does nothing.

import { type Client, createClient } from '@tidemark/browser';
import { captureAutomatically } from '@tidemark/browser/auto';
import { describe, expect, expectTypeOf, test } from 'vitest';

interface Shop {
  'order placed': { readonly total: number; readonly coupon?: string };
  'page viewed': { readonly path?: string };
  'signed out': undefined;
}

const options = { url: 'http://127.0.0.1:1', key: 'k' };

describe('a client with a map of events', () => {
  const client = createClient<Shop>(options);

  test('takes the names of the map with their props', () => {
    client.track('order placed', { total: 12.5 });
    client.track('order placed', { total: 12.5, coupon: 'X' }, { key: 'anna', occurredAt: new Date(0) });
    client.track('page viewed');
    client.track('page viewed', { path: '/' });
    client.track('signed out');
    client.track('signed out', undefined, { stream: 's' });
    expectTypeOf(client).toEqualTypeOf<Client<Shop>>();
    expectTypeOf(client.track('signed out')).toEqualTypeOf<void>();
  });

  test('takes nothing else', () => {
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

test('a client without a map takes any name and any object', () => {
  const client = createClient(options);
  client.track('anything');
  client.track('anything', { at: 'all' }, { id: '1' });
  // @ts-expect-error props are an object
  client.track('anything', 7);
  expectTypeOf(captureAutomatically(client)).toEqualTypeOf<() => void>();
});

test('options that cannot be right do not compile, and a key and an address must be there', () => {
  // @ts-expect-error there is no such option
  createClient({ ...options, lingerMS: 5 });
  // @ts-expect-error no such policy
  createClient({ ...options, whenFull: 'block' });
  // @ts-expect-error a key is needed
  expect(() => createClient({ url: 'http://127.0.0.1:1' })).toThrow(TypeError);
});

test('on a server a client does nothing, and does not break', async () => {
  const client = createClient(options);
  client.track('rendered');
  client.optIn();
  client.track('rendered');
  captureAutomatically(client)();
  expect(await client.flush()).toEqual({ pending: 0 });
  expect(client.counters()).toEqual({
    queued: 0,
    sent: 0,
    duplicates: 0,
    rejected: 0,
    dropped: {},
    pending: 0,
  });
  client.optOut();
  await client.close();
});
