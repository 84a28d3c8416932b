import { earliestMicros, formatTime, latestMicros, parseTime, timeQualities } from '@tidemark/core/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Correction, clockOffset, stampEvent } from '../../../collector/src/ingest/stamp.ts';

const receivedAt = 1_764_000_000_000_000n;
const second = 1_000_000n;
const day = 86_400n * second;
const none: Correction = { offset: 0n, kind: 'none' };

const times = fc.bigInt({ min: earliestMicros, max: latestMicros });
const clocks = fc.record({
  offsetMicros: fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }),
  rttMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
});

describe('the offset of a batch', () => {
  test.each([
    { apart: 0n, offset: 0n, kind: 'none' },
    { apart: 60n * second, offset: 0n, kind: 'none' },
    { apart: 60n * second + 1n, offset: 1n, kind: 'soft' },
    { apart: -60n * second, offset: 0n, kind: 'none' },
    { apart: -60n * second - 1n, offset: -1n, kind: 'soft' },
    { apart: 3_660n * second, offset: 3_600n * second, kind: 'soft' },
    { apart: -3_660n * second, offset: -3_600n * second, kind: 'soft' },
  ])('without a measured clock, $apart µs apart is corrected by $offset', ({ apart, offset, kind }) => {
    expect(clockOffset({ sentAt: receivedAt - apart, receivedAt, clock: undefined })).toEqual({
      offset,
      kind,
    });
  });

  test("is the client's own up to a round trip of 10 s, and a guess above", () => {
    const sentAt = receivedAt - 3_660n * second;
    const clock = (rttMs: number) => ({ offsetMicros: 5n, rttMs });
    expect(clockOffset({ sentAt, receivedAt, clock: clock(10_000) })).toEqual({ offset: 5n, kind: 'client' });
    expect(clockOffset({ sentAt, receivedAt, clock: clock(10_000.1) })).toEqual({
      offset: 3_600n * second,
      kind: 'soft',
    });
  });

  test('is none without sentAt, and says so', () => {
    const slow = { offsetMicros: 5n, rttMs: 20_000 };
    expect(clockOffset({ sentAt: undefined, receivedAt, clock: undefined })).toEqual({
      offset: 0n,
      kind: 'noSentAt',
    });
    expect(clockOffset({ sentAt: undefined, receivedAt, clock: slow })).toEqual({
      offset: 0n,
      kind: 'noSentAt',
    });
  });

  test('leaves at most a minute between sentAt and receivedAt, and never corrects past it', () => {
    fc.assert(
      fc.property(times, times, (sentAt, received) => {
        const { offset, kind } = clockOffset({ sentAt, receivedAt: received, clock: undefined });
        const left = received - (sentAt + offset);
        const before = received - sentAt;
        expect(left <= 60n * second && left >= -60n * second).toBe(true);
        expect(kind).toBe(offset === 0n ? 'none' : 'soft');
        expect(left * before >= 0n).toBe(true);
      }),
    );
  });
});

describe('the stamp of an event', () => {
  const late = (micros: bigint) => receivedAt - micros;
  test.each<{
    what: string;
    occurredAt: bigint | undefined;
    correction: Correction;
    quality: string;
    eventTime: bigint;
  }>([
    {
      what: 'no time',
      occurredAt: undefined,
      correction: { offset: 7n, kind: 'client' },
      quality: 'unparsable',
      eventTime: receivedAt,
    },
    { what: 'now', occurredAt: receivedAt, correction: none, quality: 'ok', eventTime: receivedAt },
    {
      what: 'a second ahead',
      occurredAt: receivedAt + second,
      correction: none,
      quality: 'ok',
      eventTime: receivedAt + second,
    },
    {
      what: 'more than a second ahead',
      occurredAt: receivedAt + second + 1n,
      correction: none,
      quality: 'future',
      eventTime: receivedAt + second + 1n,
    },
    {
      what: 'ahead before the correction only',
      occurredAt: receivedAt + 9n * second,
      correction: { offset: -9n * second, kind: 'client' },
      quality: 'offset',
      eventTime: receivedAt,
    },
    {
      what: 'ahead after the correction only',
      occurredAt: receivedAt,
      correction: { offset: 2n * second, kind: 'client' },
      quality: 'future',
      eventTime: receivedAt + 2n * second,
    },
    {
      what: 'thirty days old',
      occurredAt: late(30n * day),
      correction: none,
      quality: 'ok',
      eventTime: late(30n * day),
    },
    {
      what: 'older than thirty days',
      occurredAt: late(30n * day + 1n),
      correction: { offset: 0n, kind: 'client' },
      quality: 'implausible',
      eventTime: late(30n * day + 1n),
    },
    {
      what: 'a client offset of 0',
      occurredAt: receivedAt,
      correction: { offset: 0n, kind: 'client' },
      quality: 'offset',
      eventTime: receivedAt,
    },
    {
      what: 'a guessed offset',
      occurredAt: late(5n),
      correction: { offset: 3n, kind: 'soft' },
      quality: 'soft',
      eventTime: late(2n),
    },
    {
      what: 'no sentAt',
      occurredAt: late(5n),
      correction: { offset: 0n, kind: 'noSentAt' },
      quality: 'noSentAt',
      eventTime: late(5n),
    },
    {
      what: 'no sentAt and old',
      occurredAt: 0n,
      correction: { offset: 0n, kind: 'noSentAt' },
      quality: 'implausible',
      eventTime: 0n,
    },
  ])('$what: $quality', ({ occurredAt, correction, quality, eventTime }) => {
    expect(stampEvent(occurredAt, correction, receivedAt)).toEqual({
      eventTime,
      timeQuality: (timeQualities as readonly string[]).indexOf(quality),
    });
  });

  test('before the year 2000 is implausible even if it is received then', () => {
    const limit = parseTime('2000-01-01T00:00:00Z') ?? 0n;
    expect(stampEvent(limit - 1n, none, limit).timeQuality).toBe(timeQualities.indexOf('implausible'));
    expect(stampEvent(limit, none, limit).timeQuality).toBe(timeQualities.indexOf('ok'));
  });

  test('is a time that can be written down, whatever clients say', () => {
    fc.assert(
      fc.property(
        fc.option(times, { nil: undefined }),
        fc.option(times, { nil: undefined }),
        fc.option(clocks, { nil: undefined }),
        times,
        (occurredAt, sentAt, clock, received) => {
          const { eventTime, timeQuality } = stampEvent(
            occurredAt,
            clockOffset({ sentAt, receivedAt: received, clock }),
            received,
          );
          expect(parseTime(formatTime(eventTime))).toBe(eventTime);
          expect(timeQualities[timeQuality]).toBeDefined();
        },
      ),
    );
  });

  test('keeps the order and the distances of the events of a batch', () => {
    const near = fc.bigInt({ min: 0n, max: 2n ** 51n });
    fc.assert(
      fc.property(near, near, fc.bigInt({ min: -(2n ** 50n), max: 2n ** 50n }), (one, other, offset) => {
        const correction: Correction = { offset, kind: 'client' };
        const apart =
          stampEvent(one, correction, receivedAt).eventTime -
          stampEvent(other, correction, receivedAt).eventTime;
        expect(apart).toBe(one - other);
      }),
    );
  });
});
