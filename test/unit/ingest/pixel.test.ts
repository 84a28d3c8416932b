import { parseTime } from '@tidemark/core/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePixel, pixelGif } from '../../../collector/src/ingest/pixel.ts';
import { contextWith, eventIn, rejectionIn } from './decoded.ts';

const decode = (query: string) => decodePixel(new URLSearchParams(query), contextWith());

describe('the pixel', () => {
  test('is a GIF of one pixel by one', () => {
    const gif = Buffer.from(pixelGif);
    expect(gif.toString('latin1', 0, 6)).toBe('GIF89a');
    expect([gif.readUInt16LE(6), gif.readUInt16LE(8)]).toEqual([1, 1]);
    expect(gif.at(-1)).toBe(0x3b);
  });

  test('takes an event from its query', () => {
    const query =
      '?key=tmw_secret&name=mail.opened&stream=mail&id=42&eventKey=user%201&t=2026-01-31T23:59:59.5Z&sentAt=x&offsetMs=1&rttMs=2&campaign=a+b&size=10';
    expect(eventIn(decode(query))).toEqual({
      index: 0,
      id: '42',
      stream: 'mail',
      name: 'mail.opened',
      key: 'user 1',
      props: '{"campaign":"a b","size":"10"}',
      occurredAt: parseTime('2026-01-31T23:59:59.5Z'),
      occurredAtUnparsable: false,
    });
  });

  test('needs no more than a name', () => {
    expect(eventIn(decode('name=a'))).toMatchObject({
      id: undefined,
      stream: 'standard',
      key: null,
      props: null,
      occurredAt: undefined,
    });
  });

  test('takes the last of parameters with the same name', () => {
    expect(eventIn(decode('name=a&name=b&p=1&p=2'))).toMatchObject({ name: 'b', props: '{"p":"2"}' });
  });

  test.each([
    ['', 'invalid_name'],
    ['name=', 'invalid_name'],
    ['name=a&id=', 'invalid_id'],
    ['name=a&stream=a%20b', 'invalid_stream'],
    ['name=a%00', 'unstorable_text'],
    ['name=a&p=%00', 'unstorable_text'],
    [`name=a&eventKey=${'k'.repeat(257)}`, 'invalid_key'],
    [`name=a&p=${'x'.repeat(70_000)}`, 'event_too_large'],
  ])('%.30s: %s', (query, code) => {
    expect(rejectionIn(decode(query)).code).toBe(code);
  });

  test('keeps any name and any text of a parameter', () => {
    const reserved = new Set(['key', 'sentAt', 'offsetMs', 'rttMs', 'id', 'stream', 'name', 'eventKey', 't']);
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
    const names = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'props', 'occurredAt'));
    fc.assert(
      fc.property(
        fc.dictionary(
          names.filter((name) => !reserved.has(name)),
          text,
        ),
        (props) => {
          const query = new URLSearchParams([['name', 'a'], ...Object.entries(props)]);
          const sent = eventIn(decodePixel(new URLSearchParams(query.toString()), contextWith())).props;
          expect(JSON.parse(sent ?? '{}')).toEqual(JSON.parse(JSON.stringify(props)));
        },
      ),
    );
  });
});
