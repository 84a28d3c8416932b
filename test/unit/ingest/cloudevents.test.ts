import { parseTime } from '@tidemark/core/wire';
import { CloudEvent, type CloudEventV1, HTTP, type Message } from 'cloudevents';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { identityOf } from '../../../collector/src/ingest/cloudevents-event.ts';
import type { Decoded } from '../../../collector/src/ingest/decode.ts';
import { chooseMedia, decodeBody } from '../../../collector/src/ingest/media.ts';
import { batchIn, contextWith, eventIn, problemIn, rejectionIn } from './decoded.ts';

/** Decodes what a client would send, choosing the reader as the collector does. */
function receive(headers: Record<string, string>, body: string | Uint8Array): Decoded {
  const chosen = chooseMedia({ header: (name) => headers[name], encoding: undefined });
  if (!chosen.ok) return chosen;
  return decodeBody(Buffer.from(body), chosen.media, Object.entries(headers), contextWith());
}

/** What the SDK of CloudEvents makes of an event, with header names as a server sees them. */
function sent(message: Message): [headers: Record<string, string>, body: string | Uint8Array] {
  const headers = Object.entries(message.headers).map(([name, value]) => [name.toLowerCase(), String(value)]);
  return [Object.fromEntries(headers), (message.body ?? '') as string | Uint8Array];
}

const full = {
  id: '4711',
  source: 'https://example.com/orders',
  type: 'com.example.order.placed',
  time: '2026-01-31T23:59:59.123Z',
  subject: 'order/4711',
  dataschema: 'https://example.com/schema',
  myextension: 'größe',
  data: { total: 12.5, lines: [{ sku: 'é東😀', n: 1 }] },
} as const;

const fullEvent = {
  index: 0,
  id: 'https://example.com/orders 4711',
  stream: 'standard',
  name: 'com.example.order.placed',
  key: 'order/4711',
  occurredAt: parseTime('2026-01-31T23:59:59.123Z'),
  occurredAtUnparsable: false,
};

const fullProps = {
  id: full.id,
  source: full.source,
  subject: full.subject,
  dataschema: full.dataschema,
  myextension: full.myextension,
  data: full.data,
};

function expectFull(decoded: Decoded): void {
  const { props, ...event } = eventIn(decoded);
  expect(event).toEqual(fullEvent);
  const { datacontenttype, ...others } = JSON.parse(props ?? '') as Record<string, unknown>;
  expect(others).toEqual(fullProps);
  // The SDK names the type in the binary form only.
  expect(datacontenttype ?? 'application/json').toMatch(/^application\/json/);
}

describe('CloudEvents as their own SDK sends them', () => {
  const event = new CloudEvent(full);

  test('structured', () => {
    expectFull(receive(...sent(HTTP.structured(event))));
  });

  test('binary', () => {
    expectFull(receive(...sent(HTTP.binary(event))));
  });

  test('batched', () => {
    const body = JSON.stringify([event, event.cloneWith({ id: '4712', data: 'text' })]);
    const { events, rejections } = batchIn(
      receive({ 'content-type': 'application/cloudevents-batch+json' }, body),
    );
    expect(rejections).toEqual([]);
    expect(events.map(({ index, id }) => [index, id])).toEqual([
      [0, 'https://example.com/orders 4711'],
      [1, 'https://example.com/orders 4712'],
    ]);
    expect(JSON.parse(events[1]?.props ?? '')).toMatchObject({ data: 'text' });
  });

  test.each<[string, Partial<CloudEventV1<unknown>>, object]>([
    [
      'text',
      { datacontenttype: 'text/plain', data: 'größe\n"x"' },
      { datacontenttype: 'text/plain', data: 'größe\n"x"' },
    ],
    ['xml', { datacontenttype: 'application/xml', data: '<a/>' }, { data: '<a/>' }],
    ['vendor JSON', { datacontenttype: 'application/vnd.x+json', data: { a: 1 } }, { data: { a: 1 } }],
  ])('data that is %s, in both forms', (_, change, props) => {
    const changed = event.cloneWith(change);
    for (const message of [HTTP.structured(changed), HTTP.binary(changed)])
      expect(JSON.parse(eventIn(receive(...sent(message))).props ?? '')).toMatchObject(props);
  });

  test('bytes, in both forms', () => {
    const changed = event.cloneWith({
      datacontenttype: 'application/octet-stream',
      data: Uint8Array.from([0x89, 0x50, 0xff]),
    });
    for (const message of [HTTP.structured(changed), HTTP.binary(changed)]) {
      const props = JSON.parse(eventIn(receive(...sent(message))).props ?? '') as object;
      expect(props).toMatchObject({ data_base64: 'iVD/' });
      expect(props).not.toHaveProperty('data');
    }
  });

  test('what both forms make of any event is the same', () => {
    const word = fc.stringMatching(/^[a-z0-9]{1,12}$/);
    const events = fc.record({
      id: word,
      // The SDK does not escape percent signs in headers, as it should.
      source: fc.webUrl().filter((url) => !url.includes('%')),
      type: word,
      subject: fc.option(word, { nil: undefined }),
      ext: word,
      data: fc.dictionary(
        word,
        fc.oneof(fc.string({ unit: 'grapheme' }), fc.double({ noNaN: true, noDefaultInfinity: true })),
      ),
    });
    fc.assert(
      fc.property(events, ({ subject, ...fields }) => {
        fc.pre(!JSON.stringify(fields.data).includes('\\u0000'));
        const made = new CloudEvent({
          ...fields,
          ...(subject === undefined ? {} : { subject }),
          time: full.time,
        });
        const [one, other] = [HTTP.structured(made), HTTP.binary(made)].map((message) =>
          eventIn(receive(...sent(message))),
        );
        expect({ ...one, props: comparable(one?.props) }).toEqual({
          ...other,
          props: comparable(other?.props),
        });
      }),
      { numRuns: 30 },
    );
  });
});

function comparable(props: string | null | undefined): unknown {
  const { datacontenttype: _, ...others } = JSON.parse(props ?? 'null') as Record<string, unknown>;
  return others;
}

const structured = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };
const batched = { 'content-type': 'Application/CloudEvents-Batch+JSON' };
const least = { specversion: '1.0', id: '1', source: '/s', type: 't' };

describe('structured CloudEvents', () => {
  test('keep data and extensions as they were sent', () => {
    const body =
      '{"specversion":"1.0","id":"1","source":"/s","type":"t","n":12345678901234567890,"data":{"f": 0.10000000000000000001,"s":"\\u00e9"}}';
    expect(eventIn(receive(structured, body)).props).toBe(
      '{"id":"1","source":"/s","n":12345678901234567890,"data":{"f": 0.10000000000000000001,"s":"\\u00e9"}}',
    );
  });

  test('take partitionkey for the key before subject', () => {
    const key = (more: object) => eventIn(receive(structured, JSON.stringify({ ...least, ...more }))).key;
    expect(key({})).toBeNull();
    expect(key({ subject: 's' })).toBe('s');
    expect(key({ subject: 's', partitionkey: 'p' })).toBe('p');
    expect(key({ subject: 's', partitionkey: null })).toBe('s');
  });

  test('keep a time that cannot be read', () => {
    const event = eventIn(receive(structured, JSON.stringify({ ...least, time: 'noon' })));
    expect(event).toMatchObject({ occurredAt: undefined, occurredAtUnparsable: true });
    expect(JSON.parse(event.props ?? '')).toMatchObject({ time: 'noon' });
  });

  test.each([
    [{ ...least, id: undefined }, 'invalid_event', 'a CloudEvent must have a text `id`'],
    [{ ...least, source: '' }, 'invalid_event', 'a CloudEvent must have a text `source`'],
    [{ ...least, type: 5 }, 'invalid_event', 'a CloudEvent must have a text `type`'],
    [{ id: '1', source: '/s', type: 't' }, 'invalid_event', 'a CloudEvent must have a text `specversion`'],
    [{ ...least, specversion: '0.3' }, 'invalid_event', 'the `specversion` of a CloudEvent must be 1.0'],
    [
      { ...least, type: 't'.repeat(129) },
      'invalid_name',
      '`name` must be a string of 1 to 128 characters: it has 129',
    ],
    [
      { ...least, subject: 5 },
      'invalid_key',
      '`key` must be a string of 0 to 256 characters: it is not a string',
    ],
    [{ ...least, data: '\0' }, 'unstorable_text', 'Postgres cannot store the character NUL (\\u0000)'],
    [{ ...least, source: '\ud800' }, 'unstorable_text', 'an escape stands for half of a surrogate pair'],
  ])('%j: %s', (event, code, message) => {
    const raw = JSON.stringify(event);
    expect(rejectionIn(receive(structured, raw))).toMatchObject({ index: 0, code, message, raw });
  });

  test('nest and weigh what they did when they were sent', () => {
    const nested = (levels: number) =>
      `${JSON.stringify(least).slice(0, -1)},"data":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    expect(eventIn(receive(structured, nested(32))).name).toBe('t');
    expect(rejectionIn(receive(structured, nested(33)))).toMatchObject({
      code: 'too_deep',
      message: 'the event nests deeper than 32 levels, itself included',
    });
    const sized = (bytes: number) => {
      const empty = JSON.stringify({ ...least, data: '' });
      return JSON.stringify({ ...least, data: 'x'.repeat(bytes - empty.length) });
    };
    expect(eventIn(receive(structured, sized(65_536))).name).toBe('t');
    expect(rejectionIn(receive(structured, sized(65_537)))).toMatchObject({
      code: 'event_too_large',
      message: 'the event has 65537 bytes, the limit is 65536',
    });
  });

  test.each(['', '[]', '5', '{"id":', '{} {}', `[${JSON.stringify(least)}]`])('%s is malformed', (body) => {
    expect(problemIn(receive(structured, body)).code).toBe('malformed');
  });

  test.each(['', '{}', '5', '[', '[1,]', '[] []'])('%s is malformed as a batch', (body) => {
    expect(problemIn(receive(batched, body)).code).toBe('malformed');
  });

  test('one bad event does not fail its batch', () => {
    const body = `[${JSON.stringify(least)}, 5, {"id":"2"}, ${JSON.stringify({ ...least, id: '3' })}]`;
    const { events, rejections } = batchIn(receive(batched, body));
    expect(events.map(({ index, id }) => [index, id])).toEqual([
      [0, '/s 1'],
      [3, '/s 3'],
    ]);
    expect(rejections.map(({ index, code, raw }) => [index, code, raw])).toEqual([
      [1, 'invalid_event', '5'],
      [2, 'invalid_event', '{"id":"2"}'],
    ]);
    expect(batchIn(receive(batched, '[]')).events).toEqual([]);
  });
});

describe('binary CloudEvents', () => {
  const headers = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' };
  const propsOf = (more: Record<string, string>, body: string | Uint8Array = '') =>
    JSON.parse(eventIn(receive({ ...headers, ...more }, body)).props ?? '') as Record<string, unknown>;

  test.each([
    ['Euro%20%E2%82%AC%20%F0%9F%98%80', 'Euro € 😀'],
    ['%41%e2%82%ac', 'A€'],
    ['100% of it', '100% of it'],
    ['%2541', '%41'],
    ['"quoted \\"text\\" %41"', 'quoted "text" A'],
    ['"', '"'],
    ['größe', 'größe'],
    [Buffer.from('größe €').toString('latin1'), 'größe €'],
    ['', ''],
  ])('decode the header %j as %j', (value, text) => {
    expect(propsOf({ 'ce-x': value })).toMatchObject({ x: text });
  });

  test.each(['%C0%A0', '%ff', 'a%E2%82'])('reject %s, which is not UTF-8', (value) => {
    expect(rejectionIn(receive({ ...headers, 'ce-x': value }, ''))).toMatchObject({
      code: 'invalid_event',
      message: 'the header ce-x is not UTF-8',
    });
  });

  test('keep JSON data as it was sent, and fail where it is broken', () => {
    const type = { 'content-type': 'application/json; charset=utf-8' };
    const event = eventIn(receive({ ...headers, ...type }, '\ufeff {"n":12345678901234567890}\n'));
    expect(event.props).toContain('"data":{"n":12345678901234567890}');
    expect(problemIn(receive({ ...headers, ...type }, '{"n":'))).toEqual({
      code: 'malformed',
      detail: 'expected a value at character 6, found the end',
    });
    expect(problemIn(receive({ ...headers, ...type }, '1 2')).code).toBe('malformed');
  });

  test('carry anything else as text or base64', () => {
    const type = { 'content-type': 'image/png' };
    expect(propsOf(type, Buffer.from([0x89, 0x50, 0xff]))).toMatchObject({
      datacontenttype: 'image/png',
      data_base64: 'iVD/',
    });
    expect(propsOf({}, 'hello')).toMatchObject({ data: 'hello' });
    expect(propsOf({}, '')).not.toHaveProperty('data');
  });

  test('take their data from nowhere else', () => {
    expect(propsOf({ 'ce-data': 'x', 'ce-data_base64': 'eA==', 'ce-datacontenttype': 'x' })).toEqual({
      id: '1',
      source: '/s',
    });
  });

  test('are too large by what was sent', () => {
    expect(rejectionIn(receive({ ...headers, 'content-type': 'text/plain' }, 'x'.repeat(65_536))).code).toBe(
      'event_too_large',
    );
    expect(propsOf({}, Buffer.alloc(60_000, 0xff))['data_base64']).toHaveLength(80_000);
  });

  test('without a mandatory attribute are rejected', () => {
    expect(
      rejectionIn(receive({ 'ce-specversion': '1.0', 'ce-type': 't', 'ce-source': 's' }, '')).message,
    ).toBe('a CloudEvent must have a text `id`');
  });
});

describe('the identity of a CloudEvent', () => {
  test('is readable where it can be', () => {
    expect(identityOf('/s', 'a b', 128)).toBe('/s a b');
    expect(identityOf('/s', 'i'.repeat(125), 128)).toHaveLength(128);
    expect(identityOf('/s', 'i'.repeat(126), 128)).toMatch(/^ce-sha256:[0-9a-f]{64}$/);
    expect(identityOf('/s s', 'a', 128)).toMatch(/^ce-sha256:[0-9a-f]{64}$/);
  });

  test('is another for every other pair of source and id', () => {
    const text = fc.oneof(
      fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', ' ', '/') }),
      fc.string({ minLength: 60, maxLength: 70, unit: fc.constantFrom('a', ' ') }),
    );
    fc.assert(
      fc.property(text, text, text, text, (source, id, otherSource, otherId) => {
        const same = source === otherSource && id === otherId;
        expect(identityOf(source, id, 128) === identityOf(otherSource, otherId, 128)).toBe(same);
      }),
      { numRuns: 2_000 },
    );
  });
});
