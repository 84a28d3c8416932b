import { describe, expect, test } from 'vitest';
import { createFormat, type Mapping } from '../../../../sdk-node/src/cli/import-format.ts';
import { parseTimeField } from '../../../../sdk-node/src/cli/time-field.ts';

function format(change: Partial<Mapping>, header?: string) {
  const none = { name: undefined, nameField: undefined, timeField: undefined, keyField: undefined };
  const mapping: Mapping = {
    ...{ format: 'ndjson', stream: 's', idField: undefined, strings: false, delimiter: ',' },
    ...none,
    ...change,
  };
  return createFormat(mapping, header);
}

const eventOf = (made: object): unknown => ('event' in made ? JSON.parse(String(made.event)) : made);

describe('NDJSON', () => {
  test('of events stays as it is, digit by digit, but for its stream and a missing id', () => {
    const made = format({})('{"name":"n","stream":"other","props":{"big":12345678901234567890.10}}', 'made');
    expect(made).toEqual({
      event: '{"name":"n","stream":"other","props":{"big":12345678901234567890.10},"stream":"s","id":"made"}',
    });
    expect(eventOf(format({})('{"id":"own","name":"n"} ', 'made'))).toEqual({
      id: 'own',
      name: 'n',
      stream: 's',
    });
  });

  test('of objects becomes props, with fields for the rest', () => {
    const mapped = format({ nameField: 'what', timeField: 'at', keyField: 'who', idField: 'no' });
    expect(eventOf(mapped('{"what":"sold","at":1767225600,"who":7,"no":"x1","price":1.50}', 'made'))).toEqual(
      {
        id: 'x1',
        stream: 's',
        name: 'sold',
        occurredAt: '2026-01-01T00:00:00.000000Z',
        key: '7',
        props: { what: 'sold', at: 1767225600, who: 7, no: 'x1', price: 1.5 },
      },
    );
    expect(mapped('{"what":"sold","no":"x1","price":1.50}', 'made')).toEqual({
      mistake: 'has nothing in at',
    });
    expect(mapped('{"what":"sold","at":"soon","no":"x"}', 'made')).toEqual({
      mistake: 'at is not a time: soon',
    });
  });

  test('that is none is set aside', () => {
    expect(format({})('[1]', 'made')).toEqual({ mistake: 'not a JSON object' });
    expect(format({})('{"a":', 'made')).toEqual({ mistake: 'not a JSON object' });
    expect(format({})('{}', 'made')).toMatchObject({ mistake: expect.stringContaining('has no name') });
  });
});

describe('CSV', () => {
  const columns = 'at,who,price,code,note';

  test('gives props by column, with numbers as they were written', () => {
    const made = format({ format: 'csv', name: 'sold', timeField: 'at', keyField: 'who' }, columns)(
      '2026-01-01 10:00,anna,12345678901234567890.10,007,"a ""b"""',
      'made',
    );
    expect(made).toEqual({
      event:
        '{"id":"made","stream":"s","name":"sold","occurredAt":"2026-01-01T10:00:00.000000Z","key":"anna",' +
        '"props":{"at":"2026-01-01 10:00","who":"anna","price":12345678901234567890.10,"code":"007","note":"a \\"b\\""}}',
    });
    const strings = format({ format: 'csv', name: 'sold', strings: true }, 'n')('5', 'made');
    expect(eventOf(strings)).toMatchObject({ props: { n: '5' } });
  });

  test('with too few or too many fields, or a header that cannot be one, is refused', () => {
    expect(format({ format: 'csv', name: 'n' }, 'a,b')('1', 'made')).toEqual({
      mistake: 'has 1 fields, the header has 2',
    });
    expect(() => format({ format: 'csv', name: 'n' }, 'a,a')).toThrow('a name of its own');
    expect(() => format({ format: 'csv', name: 'n', timeField: 't' }, 'a,b')).toThrow('There is no column t');
  });
});

describe('logs of web servers', () => {
  // From the documentation of Apache's httpd.
  const combined =
    '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"';

  test('give a request at its time', () => {
    expect(eventOf(format({ format: 'combined', keyField: 'host' })(combined, 'made'))).toEqual({
      id: 'made',
      stream: 's',
      name: 'http.request',
      occurredAt: '2000-10-10T20:55:36.000000Z',
      key: '127.0.0.1',
      props: {
        host: '127.0.0.1',
        user: 'frank',
        method: 'GET',
        path: '/apache_pb.gif',
        protocol: 'HTTP/1.0',
        status: 200,
        bytes: 2326,
        referer: 'http://www.example.com/start.html',
        agent: 'Mozilla/4.08 [en] (Win98; I ;Nav)',
      },
    });
  });

  test('with quotes in them, without a size, and with a request that is none', () => {
    const line = String.raw`::1 - - [01/Feb/2026:00:00:00 +0130] "\x16\x03 \"quoted\"" 400 - "-" "a \"b\" c"`;
    expect(eventOf(format({ format: 'combined', name: 'hit' })(line, 'made'))).toMatchObject({
      name: 'hit',
      occurredAt: '2026-01-31T22:30:00.000000Z',
      props: { host: '::1', status: 400, agent: 'a "b" c', path: '"quoted"', method: '\\x16\\x03' },
    });
    const common = '10.0.0.1 - - [01/Feb/2026:00:00:00 +0000] "GET / HTTP/1.1" 304 0';
    expect(eventOf(format({ format: 'common' })(common, 'made'))).toMatchObject({ props: { bytes: 0 } });
    expect(format({ format: 'combined' })(common, 'made')).toHaveProperty('mistake');
    expect(
      format({ format: 'common' })('10.0.0.1 - - [31/Feb/2026:00:00:00 +0000] "GET /" 304 0', 'made'),
    ).toHaveProperty('mistake');
  });
});

test('times of files are read as they are written there', () => {
  const at = '2026-01-31T12:00:00.000000Z';
  for (const text of [
    '2026-01-31T12:00:00Z',
    '2026-01-31T13:00:00+01:00',
    '2026-01-31 12:00:00',
    '2026/01/31 12:00',
    '1769860800',
    '1769860800000',
    '1769860800000000',
    ' 1769860800.0 ',
  ])
    expect([text, parseTimeField(text)]).toEqual([text, at]);
  expect(parseTimeField('2026-01-31')).toBe('2026-01-31T00:00:00.000000Z');
  expect(parseTimeField('1769860800.000001')).toBe('2026-01-31T12:00:00.000001Z');
  expect(parseTimeField('-1.5')).toBe('1969-12-31T23:59:58.500000Z');
  for (const text of ['', 'now', '31.01.2026', '2026-13-01', '999999999999999999', '1769860800000.5'])
    expect([text, parseTimeField(text)]).toEqual([text, undefined]);
});
