import { type Limits, parseTime } from '@tidemark/core/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeBatch } from '../../../collector/src/ingest/decode.ts';
import { decodeLines } from '../../../collector/src/ingest/ndjson.ts';
import { batchIn, contextWith, problemIn } from './decoded.ts';
import { isText, jsonTexts, mutated } from './json-texts.ts';

function decode(body: string | Uint8Array, limits?: Partial<Limits>, sentAt?: string) {
  return decodeLines(typeof body === 'string' ? Buffer.from(body) : body, sentAt, contextWith(limits));
}

describe('NDJSON', () => {
  test('is one event a line, each as in a batch', () => {
    const events = [
      '{"id":"a","name":"n","occurredAt":"2026-01-31T23:59:59Z","props":{"n":1e5,"é":"\\n"}}',
      '{"name":"","id":"b"}',
      '{"name":"n","stream":"s","key":"東"}',
      '[]',
    ];
    const lines = batchIn(decode(events.join('\n')));
    const batch = batchIn(decodeBatch(Buffer.from(`{"events":[${events.join(',')}]}`), contextWith()));
    expect(lines).toEqual(batch);
    expect(lines.events).toHaveLength(2);
  });

  test('may end its lines as it likes, and empty ones do not count', () => {
    for (const body of [
      '{"name":"a"}\n{"name":"b"}',
      '{"name":"a"}\r\n{"name":"b"}\r\n',
      '\ufeff\n \n\t{"name":"a"} \n\n\n{"name":"b"}\n \n',
    ])
      expect(batchIn(decode(body)).events.map(({ index, name }) => [index, name])).toEqual([
        [0, 'a'],
        [1, 'b'],
      ]);
  });

  test('may be empty', () => {
    for (const body of ['', '\n', '\ufeff', ' \r\n']) expect(batchIn(decode(body)).events).toEqual([]);
  });

  test('was sent when the request says', () => {
    const sentAt = '2026-01-31T23:59:59.5Z';
    expect(batchIn(decode('', {}, sentAt)).sentAt).toBe(parseTime(sentAt));
    expect(batchIn(decode('', {}, 'yesterday')).sentAt).toBeUndefined();
    expect(batchIn(decode('')).sentAt).toBeUndefined();
  });

  test('a broken line rejects only itself, and says where it breaks', () => {
    const lines = [
      '{"name":"a"}',
      '{"name":"é" oops}',
      '{"name":"c"',
      '{"name":"d"} {"name":"e"}',
      '\u0000',
      '{"name":"f"}',
    ];
    const { events, rejections } = batchIn(decode(lines.join('\n')));
    expect(events.map(({ index }) => index)).toEqual([0, 5]);
    expect(rejections).toEqual([
      {
        index: 1,
        id: null,
        stream: null,
        key: null,
        code: 'invalid_json',
        message: `expected ',' or '}' at character 13, found "o"`,
        raw: lines[1],
        truncated: false,
      },
      {
        index: 2,
        id: null,
        stream: null,
        key: null,
        code: 'invalid_json',
        message: "expected ',' or '}' at character 12, found the end",
        raw: lines[2],
        truncated: false,
      },
      {
        index: 3,
        id: null,
        stream: null,
        key: null,
        code: 'invalid_json',
        message: 'expected the end of the line at character 14, found "{"',
        raw: lines[3],
        truncated: false,
      },
      {
        index: 4,
        id: null,
        stream: null,
        key: null,
        code: 'invalid_json',
        message: 'expected a value at character 1, found "\\u0000"',
        raw: '\ufffd',
        truncated: false,
      },
    ]);
  });

  test('a value that goes on in the next line is broken in both', () => {
    const { events, rejections } = batchIn(decode('{"name":\n"a"}\n{"name":"b"}'));
    expect(events).toMatchObject([{ index: 2, name: 'b' }]);
    expect(rejections.map(({ code }) => code)).toEqual(['invalid_json', 'invalid_json']);
  });

  test('keeps at most 64 KiB of a broken line', () => {
    const [rejection] = batchIn(decode(`{"name":"${'東'.repeat(50_000)}`)).rejections;
    expect(Buffer.byteLength(rejection?.raw ?? '')).toBeLessThanOrEqual(65_536);
    expect(rejection?.raw).not.toContain('\ufffd');
  });

  test('has as many lines as a batch has events', () => {
    expect(batchIn(decode('{"name":"a"}\n\n{"name":"b"}\n', { batchEvents: 2 })).events).toHaveLength(2);
    expect(problemIn(decode('oops\noops\noops', { batchEvents: 2 }))).toMatchObject({
      code: 'batch_too_large',
      limit: 2,
      actual: 3,
    });
  });

  test('that is not UTF-8 fails as a whole', () => {
    expect(problemIn(decode(Buffer.from('{"name":"a"}\n{"name":"\xff"}', 'latin1')))).toEqual({
      code: 'malformed',
      detail: 'the body is not UTF-8: see byte 23',
    });
  });

  test('accepts exactly the lines that JSON.parse accepts, and loses none', () => {
    const oneLine = mutated(jsonTexts).map((text) => text.replaceAll(/[\r\n]/g, ' '));
    const lines = fc.array(
      oneLine.filter((text) => isText(text) && text.trim() !== '' && !text.startsWith('\ufeff')),
    );
    fc.assert(
      fc.property(lines, (texts) => {
        const { events, rejections } = batchIn(decode(texts.join('\n')));
        const broken = rejections.filter(({ code }) => code === 'invalid_json').map(({ index }) => index);
        expect(broken).toEqual([...texts.keys()].filter((at) => !parses(texts[at] ?? '')));
        expect(events.length + rejections.length).toBe(texts.length);
      }),
    );
  });
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
