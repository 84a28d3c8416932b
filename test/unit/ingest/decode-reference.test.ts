import { defaultLimits, parseTime } from '@tidemark/core/wire';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeBatch } from '../../../collector/src/ingest/decode.ts';
import { batchIn, contextWith } from './decoded.ts';
import { isText, jsonTexts, mutated } from './json-texts.ts';

/**
 * The decoder as one would write it with JSON.parse, slow and without what concerns the text itself: what the fast one says of
 * any batch has to be the same.
 */
function decodeSlowly(text: string): object[] {
  const { events } = JSON.parse(text) as { events: unknown[] };
  return events.map((event, index) => {
    if (typeof event !== 'object' || event === null || Array.isArray(event))
      return { index, code: 'invalid_event' };
    const { id, stream, name, key, props, occurredAt } = event as Record<string, unknown>;
    if (!isMissing(id) && !isTextOf(id, 1, defaultLimits.idCharacters)) return { index, code: 'invalid_id' };
    if (!isMissing(stream) && !(typeof stream === 'string' && /^[\w.-]{1,64}$/.test(stream)))
      return { index, code: 'invalid_stream' };
    if (!isTextOf(name, 1, defaultLimits.nameCharacters)) return { index, code: 'invalid_name' };
    if (!isMissing(key) && !isTextOf(key, 0, defaultLimits.keyCharacters))
      return { index, code: 'invalid_key' };
    if (!isMissing(props) && (typeof props !== 'object' || Array.isArray(props)))
      return { index, code: 'invalid_props' };
    const time = typeof occurredAt === 'string' ? parseTime(occurredAt) : undefined;
    return {
      index,
      id: id ?? undefined,
      stream: stream ?? 'standard',
      name,
      key: key ?? null,
      props: props ?? null,
      occurredAt: time,
      occurredAtUnparsable: !isMissing(occurredAt) && time === undefined,
    };
  });
}

const isMissing = (value: unknown) => value === undefined || value === null;
const isTextOf = (value: unknown, least: number, most: number) =>
  typeof value === 'string' && value.length >= least && Array.from(value).length <= most;

function decodeQuickly(text: string): object[] {
  const { events, rejections } = batchIn(decodeBatch(Buffer.from(text), contextWith()));
  const outcomes = [
    ...events.map(({ props, ...event }) => ({
      ...event,
      props: props === null ? null : (JSON.parse(props) as object),
    })),
    ...rejections.map(({ index, code }) => ({ index, code })),
  ];
  return outcomes.toSorted((a, b) => a.index - b.index);
}

const spelled = (name: string) =>
  fc.constantFrom(
    `"${name}"`,
    `"${name}"`,
    `"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}"`,
    `"${name}s"`,
  );
const texts = fc.oneof(
  fc.constantFrom('a', '', 'é東😀', 'x'.repeat(65), '😀'.repeat(128), '😀'.repeat(129), 'y'.repeat(257)),
  fc.string({ unit: 'grapheme', maxLength: 5 }),
);
const escaped = (text: string) =>
  JSON.stringify(text).replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
const values = fc.oneof(
  texts.map((text) => JSON.stringify(text)),
  texts.map(escaped),
  fc.constantFrom(
    'null',
    '5',
    'true',
    '{}',
    '[]',
    '{"é":{"name":"inner"}}',
    '"2026-01-31T23:59:59.5Z"',
    '"2026-01-31t23:59:59+01:00"',
  ),
  jsonTexts,
);
const space = fc.constantFrom('', '', ' ', '\n', '\r\n\t');
const members = fc
  .tuple(
    fc.constantFrom('id', 'stream', 'name', 'name', 'key', 'props', 'occurredAt', 'other').chain(spelled),
    values,
    space,
    space,
  )
  .map(([name, value, one, other]) => `${one}${name}${other}:${one}${value}${other}`);
const events = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(members, { maxLength: 7 })
      .map((all) => `{"name":"n"${all.map((member) => `,${member}`).join('')}}`),
  },
  { weight: 1, arbitrary: values },
);
const batches = fc.array(events, { maxLength: 6 }).map((all) => `{"events":[${all.join(',')}]}`);

/** What only the text shows, and JSON.parse does not. */
const isPlain = (text: string) =>
  isText(text) && !/\\u0000|\\u[dD][89abAB]|\d{5}|[eE][+-]?\d{3}|[[{]{30}/.test(text);

test('a batch is decoded into what JSON.parse finds in it', () => {
  const seen = { events: 0, rejections: 0 };
  fc.assert(
    fc.property(fc.oneof(batches, mutated(batches)), (text) => {
      fc.pre(isPlain(text) && parses(text));
      const slowly = decodeSlowly(text);
      expect(decodeQuickly(text)).toEqual(slowly);
      for (const outcome of slowly) seen['code' in outcome ? 'rejections' : 'events']++;
    }),
    { numRuns: 1_000 },
  );
  expect(Math.min(seen.events, seen.rejections)).toBeGreaterThan(250);
});

function parses(text: string): boolean {
  try {
    const value = JSON.parse(text) as { events?: unknown };
    return typeof value === 'object' && value !== null && Array.isArray(value.events);
  } catch {
    return false;
  }
}
