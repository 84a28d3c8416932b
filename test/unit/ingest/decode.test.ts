import { defaultLimits, type Limits, parseTime } from '@tidemark/core/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type BodyProblem,
  type DecodedBatch,
  type DecodedEvent,
  decodeBatch,
  type Rejection,
} from '../../../collector/src/ingest/decode.ts';
import { isText, mutated } from './json-texts.ts';

function decode(body: string | Uint8Array, limits: Partial<Limits> = {}) {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  return decodeBatch(bytes, { limits: { ...defaultLimits, ...limits }, defaultStream: 'standard' });
}

function batchOf(body: string | Uint8Array, limits?: Partial<Limits>): DecodedBatch {
  const decoded = decode(body, limits);
  if (!decoded.ok) throw new Error(decoded.problem.detail);
  return decoded.batch;
}

function problemOf(body: string | Uint8Array, limits?: Partial<Limits>): BodyProblem {
  const decoded = decode(body, limits);
  if (decoded.ok) throw new Error('decoded');
  return decoded.problem;
}

const batchText = (...events: string[]) => `{"events":[${events.join(',')}]}`;

function eventOf(event: string, limits?: Partial<Limits>): DecodedEvent {
  const batch = batchOf(batchText(event), limits);
  const [only] = batch.events;
  if (only === undefined) throw new Error(batch.rejections[0]?.message);
  return only;
}

function rejectionOf(event: string, limits?: Partial<Limits>): Rejection {
  const [only] = batchOf(batchText(event), limits).rejections;
  if (only === undefined) throw new Error('not rejected');
  return only;
}

describe('a JSON batch', () => {
  test('becomes its events, its time and its clock', () => {
    const props = '{"n": 12345678901234567890.10, "text":"größe 東京 😀 \\u00e9", "list":[1,{"a":null}]}';
    const body = `{
      "sentAt": "2026-01-31T23:59:59.5Z",
      "clock": {"offsetMs": -12.25, "rttMs": 40},
      "events": [
        {"id":"a","stream":"orders.v1","name":"order placed","key":"k","occurredAt":"2026-01-31T23:59:58.123456+01:00","props":${props}},
        {"name":"x"}
      ]
    }`;
    expect(batchOf(body)).toEqual({
      sentAt: parseTime('2026-01-31T23:59:59.5Z'),
      clock: { offsetMicros: -12_250n, rttMs: 40 },
      rejections: [],
      events: [
        {
          index: 0,
          id: 'a',
          stream: 'orders.v1',
          name: 'order placed',
          key: 'k',
          props,
          occurredAt: parseTime('2026-01-31T22:59:58.123456Z'),
          occurredAtUnparsable: false,
        },
        {
          index: 1,
          id: undefined,
          stream: 'standard',
          name: 'x',
          key: null,
          props: null,
          occurredAt: undefined,
          occurredAtUnparsable: false,
        },
      ],
    });
  });

  test('may be empty, begin with a byte order mark, and carry what we do not know', () => {
    const nothing = { sentAt: undefined, clock: undefined, events: [], rejections: [] };
    expect(batchOf('{"events":[]}')).toEqual(nothing);
    expect(batchOf('\ufeff{"events":[]}')).toEqual(nothing);
    expect(batchOf(` {"v":{"deep":[[[]]]},"events":[ ],"__proto__":{"sentAt":"x"}}\r\n`)).toEqual(nothing);
  });

  test('takes the last of members with the same name, however they are spelled', () => {
    const batch = batchOf(
      '{"events":[{"name":"lost"},{}],"sentAt":"2026-01-01T00:00:00Z","sentAt":5,"\\u0065vents":[{"name":"a","n\\u0061me":"b","props":{"a":1},"props":null}]}',
    );
    expect(batch.sentAt).toBeUndefined();
    expect(batch.rejections).toEqual([]);
    expect(batch.events).toMatchObject([{ index: 0, name: 'b', props: null }]);
  });

  test.each(['"2026-01-31"', '5', 'null', '{}', '[]', '"yesterday"', `"${'9'.repeat(2_000)}"`])(
    'with sentAt %s has none',
    (sentAt) => {
      expect(batchOf(`{"sentAt":${sentAt},"events":[]}`).sentAt).toBeUndefined();
    },
  );

  test.each([
    '5',
    'null',
    '[]',
    '{}',
    '{"offsetMs":1}',
    '{"rttMs":1}',
    '{"offsetMs":"1","rttMs":1}',
    '{"offsetMs":1,"rttMs":null}',
    '{"offsetMs":1,"rttMs":-1}',
    '{"offsetMs":1e999,"rttMs":1}',
    '{"offsetMs":1e16,"rttMs":1}',
    '{"__proto__":{"offsetMs":1,"rttMs":1}}',
    `{"offsetMs":1,"rttMs":1,"x":"${'x'.repeat(2_000)}"}`,
  ])('with clock %s has none', (clock) => {
    expect(batchOf(`{"clock":${clock},"events":[]}`).clock).toBeUndefined();
  });
});

describe('a body that is no batch is malformed', () => {
  test.each([
    ['', "expected '{' at character 1, found the end"],
    ['null', `expected '{' at character 1, found "n"`],
    ['[{"name":"a"}]', `expected '{' at character 1, found "["`],
    ['{"events":[]', "expected ',' or '}' at character 13, found the end"],
    ['{"events":[]}}', 'expected the end of the body at character 14, found "}"'],
    ['{"events":[]} x', 'expected the end of the body at character 15, found "x"'],
    ['{"events":[{"name":"東京😀" oops}]}', `expected ',' or '}' at character 26, found "o"`],
    [
      '{"events":[{"name":"a\tb"}]}',
      'expected an escape instead of a control character at character 22, found "\\t"',
    ],
    ['{"events":[{"name":nul}]}', 'expected a value at character 20, found "n"'],
    ['{"events":[1,]}', 'expected a value at character 14, found "]"'],
    ['\ufeff{"events":]', 'expected a value at character 11, found "]"'],
    ['{}', 'the body has no array `events`'],
    ['{"events":{}}', 'the body has no array `events`'],
    ['{"events":null}', 'the body has no array `events`'],
    ['{"events":[],"events":1}', 'the body has no array `events`'],
    ['{"Events":[]}', 'the body has no array `events`'],
  ])('%s', (body, detail) => {
    expect(problemOf(body)).toEqual({ code: 'malformed', detail });
  });

  test.each([
    ['a byte that begins nothing', [0x22, 0xff, 0x22], 2],
    ['half a character at the end', [0x22, 0xc3], 2],
    ['an overlong form', [0x22, 0xc0, 0x80, 0x22], 2],
    ['half a surrogate pair', [0x22, 0xed, 0xa0, 0x80, 0x22], 2],
    ['a fault behind an honest U+FFFD', [0x22, 0xef, 0xbf, 0xbd, 0xc3, 0xa9, 0x80, 0x22], 7],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00], 1],
  ])('that is not UTF-8: %s', (_, bytes, at) => {
    expect(problemOf(Uint8Array.from(bytes))).toEqual({
      code: 'malformed',
      detail: `the body is not UTF-8: see byte ${at}`,
    });
  });

  test('and so is every beginning of one', () => {
    const body = Buffer.from(
      '{"sentAt":"2026-01-31T23:59:59Z","clock":{"offsetMs":1e1,"rttMs":2.5},"events":[{"id":"é\\u00e9\\n","props":{"a":[true,false,null,-0.5E+3,"東😀"]},"name":"n"},5]}',
    );
    expect(decode(body).ok).toBe(true);
    for (let length = 0; length < body.length; length++)
      expect([length, decode(body.subarray(0, length)).ok]).toEqual([length, false]);
  });

  test('and nothing else: what JSON.parse accepts with an array of events is a batch', () => {
    const outcomes = { batches: 0, refused: 0 };
    fc.assert(
      fc.property(mutated(fc.constantFrom(...batches)).filter(isText), (text) => {
        const isBatch = hasEvents(text);
        expect([text, decode(text).ok]).toEqual([text, isBatch]);
        outcomes[isBatch ? 'batches' : 'refused']++;
      }),
      { numRuns: 3_000 },
    );
    expect(outcomes.batches).toBeGreaterThan(300);
    expect(outcomes.refused).toBeGreaterThan(300);
  });
});

const batches = [
  '{"events":[]}',
  '{"events":[{"name":"a","props":{"n":-1.5e3,"t":[true,null]}},5]}',
  ' {"sentAt":"2026-01-31T23:59:59Z", "events" : [ {"id":"a","name":"é\\n"} ] , "clock":{"offsetMs":1,"rttMs":2}}\n',
];

function hasEvents(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text.replace(/^\ufeff/, ''));
    return typeof value === 'object' && value !== null && 'events' in value && Array.isArray(value.events);
  } catch {
    return false;
  }
}

describe('a batch of too many events', () => {
  test('is refused with the limit and what was seen', () => {
    const body = batchText(...Array.from({ length: 4 }, () => '{"name":"a"}'));
    expect(decode(body, { batchEvents: 4 }).ok).toBe(true);
    expect(problemOf(body, { batchEvents: 3 })).toMatchObject({
      code: 'batch_too_large',
      limit: 3,
      actual: 4,
    });
  });

  test('is refused before the rest is looked at', () => {
    expect(problemOf('{"events":[1,2,3,###', { batchEvents: 4 }).code).toBe('malformed');
    expect(problemOf('{"events":[1,2,3,###', { batchEvents: 3 }).code).toBe('batch_too_large');
  });
});

describe('one bad event does not fail its batch', () => {
  test('its neighbours keep their places', () => {
    const batch = batchOf(batchText('{"name":"a"}', '{"name":""}', '7', '{"name":"d"}'));
    expect(batch.events.map(({ index, name }) => [index, name])).toEqual([
      [0, 'a'],
      [3, 'd'],
    ]);
    expect(batch.rejections.map(({ index, code, raw }) => [index, code, raw])).toEqual([
      [1, 'invalid_name', '{"name":""}'],
      [2, 'invalid_event', '7'],
    ]);
  });

  test.each([
    ['5', 'invalid_event'],
    ['null', 'invalid_event'],
    ['"text"', 'invalid_event'],
    ['[{"name":"a"}]', 'invalid_event'],
    ['[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]', 'invalid_event'],
    ['{}', 'invalid_name'],
    ['{"name":null}', 'invalid_name'],
    ['{"name":5}', 'invalid_name'],
    ['{"name":""}', 'invalid_name'],
    ['{"name":["a"]}', 'invalid_name'],
    ['{"name":true}', 'invalid_name'],
    ['{"name":"a","id":""}', 'invalid_id'],
    ['{"name":"a","id":7}', 'invalid_id'],
    ['{"name":"a","id":false}', 'invalid_id'],
    ['{"name":"a","stream":""}', 'invalid_stream'],
    ['{"name":"a","stream":"a b"}', 'invalid_stream'],
    ['{"name":"a","stream":"a/b"}', 'invalid_stream'],
    ['{"name":"a","stream":"é"}', 'invalid_stream'],
    ['{"name":"a","stream":"a\\n"}', 'invalid_stream'],
    [`{"name":"a","stream":"${'s'.repeat(65)}"}`, 'invalid_stream'],
    ['{"name":"a","stream":[]}', 'invalid_stream'],
    ['{"name":"a","key":5}', 'invalid_key'],
    ['{"name":"a","key":{}}', 'invalid_key'],
    ['{"name":"a","props":[]}', 'invalid_props'],
    ['{"name":"a","props":"{}"}', 'invalid_props'],
    ['{"name":"a","props":0}', 'invalid_props'],
    ['{"name":"a\\u0000"}', 'unstorable_text'],
    ['{"name":"a","props":{"\\u0000":1}}', 'unstorable_text'],
    ['{"name":"a","\\u0000":1}', 'unstorable_text'],
    ['{"name":"a","key":"\\ud800"}', 'unstorable_text'],
    ['{"name":"a","props":{"deep":[{"x":"\\udfff\\ud800"}]}}', 'unstorable_text'],
    ['{"name":"a","props":{"n":1e200000}}', 'unstorable_number'],
    ['{"name":"a","unknown":-1e-16384}', 'unstorable_number'],
  ])('%s: %s', (event, code) => {
    const batch = batchOf(batchText('{"name":"before"}', event, '{"name":"behind"}'));
    expect(batch.events).toHaveLength(2);
    expect(batch.rejections).toMatchObject([{ index: 1, id: null, code, raw: event }]);
  });

  test('a message says what was found and what the limit is', () => {
    expect(rejectionOf(`{"name":"a","id":"${'i'.repeat(129)}"}`).message).toBe(
      '`id` must be a string of 1 to 128 characters: it has 129',
    );
    expect(rejectionOf('{"id":"a"}').message).toBe(
      '`name` must be a string of 1 to 128 characters: it is missing',
    );
    expect(rejectionOf('{"name":1}').message).toBe(
      '`name` must be a string of 1 to 128 characters: it is not a string',
    );
    expect(rejectionOf('{"name":"a","p":"xxxxxxxxxx"}', { eventBytes: 20 }).message).toBe(
      'the event has 29 bytes, the limit is 20',
    );
  });

  test('it is reported under its id, if that one is in order', () => {
    const id = (event: string) => rejectionOf(event).id;
    expect(id('{"id":"a","name":5}')).toBe('a');
    expect(id('{"name":5,"id":"\\u00e9"}')).toBe('é');
    expect(id('{"id":"a","name":"\\u0000"}')).toBe('a');
    expect(id('{"id":"a\\u0000","name":"a"}')).toBeNull();
    expect(id('{"id":"\\ud800","name":"a"}')).toBeNull();
    expect(id(`{"id":"${'i'.repeat(129)}","name":"a"}`)).toBeNull();
    expect(id('{"id":5,"name":"a"}')).toBeNull();
    const huge = `"${'x'.repeat(70_000)}"`;
    expect(id(`{"id":"a","name":${huge}}`)).toBe('a');
    expect(id(`{"name":${huge},"id":"a"}`)).toBe('a');
  });

  test('its dead letter is found by its stream and key, wherever in the event they stand, if they are in order', () => {
    const known = (event: string) => {
      const { stream, key } = rejectionOf(event);
      return [stream, key];
    };
    expect(known('{"name":5}')).toEqual(['standard', null]);
    expect(known('{"name":5,"stream":"orders","key":"caf\\u00e9"}')).toEqual(['orders', 'café']);
    expect(known('{"name":"a","stream":"no such","key":"k"}')).toEqual([null, 'k']);
    expect(known('{"name":5,"key":"k\\u0000"}')).toEqual(['standard', null]);
    expect(known('{"name":5,"key":7}')).toEqual(['standard', null]);
    expect(known(`{"name":"a","props":{"a":"${'x'.repeat(70_000)}"},"key":"k"}`)).toEqual(['standard', 'k']);
    expect(known('5')).toEqual([null, null]);
  });
});

describe('limits of an event', () => {
  test.each([
    ['id', 'idCharacters', 'invalid_id'],
    ['name', 'nameCharacters', 'invalid_name'],
    ['key', 'keyCharacters', 'invalid_key'],
  ] as const)('`%s` counts characters as Postgres does: code points', (field, limit, code) => {
    const most = defaultLimits[limit];
    for (const character of ['a', 'é', '東', '😀', '\\u00e9', '\\ud83d\\ude00']) {
      const event = (count: number) => `{"name":"n","${field}":"${character.repeat(count)}"}`;
      expect(eventOf(event(most))[field]).toBe(JSON.parse(`"${character.repeat(most)}"`));
      expect(rejectionOf(event(most + 1)).code).toBe(code);
    }
  });

  test('bytes are those of UTF-8 as sent, to the byte', () => {
    for (const character of ['a', 'é', '東', '😀', '\\u00e9', '\\n']) {
      const empty = Buffer.byteLength('{"name":"n","props":{"":""}}');
      const size = Buffer.byteLength(character);
      const eventBytes = empty + 50 * size;
      const event = (count: number, rest = '') =>
        `{"name":"n","props":{"":"${character.repeat(count)}${rest}"}}`;
      expect(eventOf(event(50), { eventBytes }).name).toBe('n');
      expect(rejectionOf(event(50, 'x'), { eventBytes }).code).toBe('event_too_large');
      expect(rejectionOf(event(51), { eventBytes }).code).toBe('event_too_large');
    }
  });

  test('64 KiB is the default, and what is kept of a larger one, in whole characters', () => {
    for (const padding of ['', 'x', 'xx']) {
      const event = (count: number) => `{"name":"n","props":{"${padding}":"${'東'.repeat(count)}"}}`;
      const most = Math.floor((65_536 - Buffer.byteLength(event(0))) / 3);
      expect(eventOf(event(most)).name).toBe('n');
      const { code, raw } = rejectionOf(event(most + 20));
      expect(code).toBe('event_too_large');
      expect(event(most + 20).startsWith(raw)).toBe(true);
      expect(Buffer.byteLength(raw)).toBeGreaterThan(65_536 - 3);
      expect(Buffer.byteLength(raw)).toBeLessThanOrEqual(65_536);
      const larger = rejectionOf(event(most + 20), { eventBytes: 1_000_000, nameCharacters: 0 });
      expect(larger).toMatchObject({ code: 'invalid_name', raw });
    }
  });

  test('what is kept of an event says whether it is all of it', () => {
    const event = (bytes: number) => `{"name":"${'x'.repeat(bytes - 11)}"}`;
    expect(rejectionOf(event(65_536))).toMatchObject({ raw: event(65_536), truncated: false });
    expect(rejectionOf(event(65_537))).toMatchObject({
      raw: event(65_537).slice(0, 65_536),
      truncated: true,
    });
  });

  test('larger ones may be allowed', () => {
    const props = JSON.stringify({ text: '東'.repeat(50_000) });
    expect(eventOf(`{"name":"n","props":${props}}`, { eventBytes: 1_000_000 }).props).toBe(props);
  });

  test('32 levels, the event being the first', () => {
    const event = (levels: number) =>
      `{"name":"n","props":${'{"a":'.repeat(levels - 1)}1${'}'.repeat(levels - 1)}}`;
    expect(eventOf(event(32)).name).toBe('n');
    expect(rejectionOf(event(33))).toMatchObject({ code: 'too_deep' });
    expect(rejectionOf(`{"name":"n","other":${'['.repeat(100)}${']'.repeat(100)}}`).code).toBe('too_deep');
  });
});

describe('what survives', () => {
  const objects = fc.dictionary(
    fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('__proto__', 'constructor', 'toString', 'events', 'name', ''),
    ),
    fc.jsonValue({ stringUnit: 'grapheme', maxDepth: 5 }),
  );

  test('props are the text that was sent', () => {
    fc.assert(
      fc.property(
        objects,
        fc.constantFrom(undefined, 2, '\t'),
        fc.boolean(),
        (props, indent, fieldsFirst) => {
          fc.pre(!JSON.stringify(props).includes('\\u0000'));
          const sent = JSON.stringify(props, null, indent);
          const event = fieldsFirst ? `{"name":"n","props":${sent}}` : `{"props" : ${sent} , "name":"n"}`;
          const text = eventOf(event).props ?? '';
          expect(JSON.parse(text)).toEqual(JSON.parse(sent));
          expect(text).not.toMatch(/[\r\n]/);
          if (indent === undefined) expect(text).toBe(sent);
        },
      ),
    );
  });

  test('numbers beyond doubles, escapes, duplicate names and inner spaces stay as they are', () => {
    const props =
      '{"i":123456789012345678901234567890, "f":0.1000000000000000000000000000001,"e":-1E+400,"z":-0.0,"s":"\\/\\u00e9\\ud83d\\ude00","a":1,"a":2}';
    expect(eventOf(`{"name":"n","props": ${props} }`).props).toBe(props);
  });

  test('line breaks between tokens go, so that props stand on one line; those in strings stay', () => {
    const text = eventOf('{"name":"n",\n"props":{\r\n  "a": [\n\t1,\n\t2\n  ],\r"b": "x\\n  y"\n}}').props;
    expect(text).toBe('{"a": [1,2],"b": "x\\n  y"}');
  });

  test('every text of every field, in whatever form it was sent', () => {
    const text = fc.string({ minLength: 1, maxLength: 100, unit: 'binary' });
    const wellFormed = text.filter(
      (value) => !value.includes('\0') && Buffer.from(value).toString() === value,
    );
    const escaped = (value: string) =>
      `"${[...Array(value.length).keys()].map((at) => `\\u${value.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`;
    fc.assert(
      fc.property(wellFormed, wellFormed, wellFormed, fc.boolean(), (id, name, key, escape) => {
        const json = escape ? escaped : JSON.stringify;
        const event = eventOf(`{"id":${json(id)},"name":${json(name)},"key":${json(key)}}`);
        expect(event).toMatchObject({ id, name, key });
      }),
    );
  });

  test('an empty key, and names that mean something to JavaScript', () => {
    expect(
      eventOf('{"name":"__proto__","key":"","stream":"constructor","__proto__":{"id":"x"}}'),
    ).toMatchObject({
      id: undefined,
      name: '__proto__',
      key: '',
      stream: 'constructor',
    });
    expect(({} as Record<string, unknown>)['id']).toBeUndefined();
  });
});

describe('an event is never rejected for its time', () => {
  test.each([
    ['missing', '', false],
    ['null', ',"occurredAt":null', false],
    ['a number', ',"occurredAt":1764000000000', true],
    ['empty', ',"occurredAt":""', true],
    ['text', ',"occurredAt":"yesterday"', true],
    ['no such day', ',"occurredAt":"2026-02-30T00:00:00Z"', true],
    ['year 0', ',"occurredAt":"0000-12-31T00:00:00Z"', true],
    ['an object', ',"occurredAt":{}', true],
  ])('%s', (_, field, occurredAtUnparsable) => {
    expect(eventOf(`{"name":"n"${field}}`)).toMatchObject({ occurredAt: undefined, occurredAtUnparsable });
  });
});
