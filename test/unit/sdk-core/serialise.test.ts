import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../sdk-core/src/clock.ts';
import { createSerialiser, restate, utf8Bytes } from '../../../sdk-core/src/serialise.ts';
import { createChance } from './simulation/chance.ts';

const now = Date.UTC(2026, 0, 31, 23, 59, 59, 7);

describe('an event as text', () => {
  const serialise = createSerialiser(createChance(1).next);

  test('is what was tracked, as JSON', () => {
    fc.assert(
      fc.property(
        fc.record({
          name: fc.string({ unit: 'binary' }),
          props: fc.option(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 5 })),
          id: fc.string({ unit: 'binary' }),
          stream: fc.option(fc.string(), { nil: undefined }),
          key: fc.option(fc.string({ unit: 'grapheme' }), { nil: undefined }),
          occurredAt: fc.option(fc.string({ unit: 'binary' }), { nil: undefined }),
        }),
        ({ name, props, ...options }) => {
          const event = JSON.parse(serialise(now, name, props ?? undefined, options)) as Record<
            string,
            unknown
          >;
          const { occurredAt, ...rest } = event;
          const expected = {
            id: options.id,
            name,
            stream: options.stream,
            key: options.key,
            props: props ?? undefined,
          };
          expect(rest).toEqual(JSON.parse(JSON.stringify(expected)));
          if (options.occurredAt !== undefined) expect(occurredAt).toBe(options.occurredAt);
        },
      ),
      { seed: 7 },
    );
  });

  test('counts the events of a millisecond in the microseconds, so that they keep their order', () => {
    const stamp = createSerialiser(createChance(1).next);
    const times = Array.from({ length: 1_100 }, () => occurredAt(stamp(now, 'n', undefined, {})));
    expect(times[0]).toBe('2026-01-31T23:59:59.007000Z');
    expect(times[1]).toBe('2026-01-31T23:59:59.007001Z');
    expect(times.at(-1)).toBe('2026-01-31T23:59:59.007999Z');
    expect(occurredAt(stamp(now + 1, 'n', undefined, {}))).toBe('2026-01-31T23:59:59.008000Z');
  });

  test('takes a Date, and refuses what is no time and no name', () => {
    expect(occurredAt(serialise(now, 'n', {}, { occurredAt: new Date(0) }))).toBe('1970-01-01T00:00:00.000Z');
    expect(() => serialise(now, 'n', {}, { occurredAt: new Date(Number.NaN) })).toThrow(RangeError);
    expect(() => serialise(now, undefined as unknown as string, {}, {})).toThrow(TypeError);
  });

  test('leaves out props that JSON knows nothing of', () => {
    expect(serialise(now, 'n', () => 1, {})).not.toContain('props');
  });

  test('is restated to an earlier time only, and only where the stamp is ours', () => {
    const text = createSerialiser(createChance(1).next)(now, 'n', { a: 1 }, { id: 'x' });
    const event = { sequence: 0, json: text, bytes: 0, queuedAt: 0, stamped: true, triedAt: undefined };
    const clockAt = (at: number | undefined) => ({ restated: () => at }) as Pick<Clock, 'restated'> as Clock;
    expect(restate(event, clockAt(undefined))).toBe(text);
    expect(restate(event, clockAt(now + 5_000))).toBe(text);
    expect(JSON.parse(restate(event, clockAt(now - 3_600_000)))).toEqual({
      ...(JSON.parse(text) as object),
      occurredAt: '2026-01-31T22:59:59.007000Z',
    });
    expect(restate({ ...event, stamped: false }, clockAt(now - 3_600_000))).toBe(text);
  });
});

test('bytes are counted as UTF-8 has them', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(utf8Bytes(text)).toBe(Buffer.byteLength(text));
    }),
    { seed: 8 },
  );
  expect(utf8Bytes('aé€😀')).toBe(1 + 2 + 3 + 4);
});

function occurredAt(text: string): string {
  return (JSON.parse(text) as { occurredAt: string }).occurredAt;
}
