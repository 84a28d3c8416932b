import { describe, expect, test } from 'vitest';
import { createQuotas, type QuotaHolder } from '../../../collector/src/ingest/quota.ts';
import { createFakeClock } from '../../harness/clock.ts';

const holder = (change: Partial<QuotaHolder> = {}): QuotaHolder => ({
  keyId: 'key',
  eventsPerSecond: 100,
  bytesPerSecond: null,
  ...change,
});

describe('a quota', () => {
  test('lets a large batch pass and go into debt, so that over time no more than the quota passes', async () => {
    const clock = createFakeClock();
    const quotas = createQuotas(clock);
    let passed = 0;
    for (let ms = 0; ms < 100_000; ms += 50) {
      if (quotas.refusal(holder(), 'both') === undefined) {
        quotas.takeEvents(holder(), 1_000);
        passed += 1_000;
      }
      await clock.advance(50);
    }
    expect(passed).toBeGreaterThanOrEqual(10_000);
    expect(passed).toBeLessThanOrEqual(11_000);
  });

  test('says when to come back: when the debt is paid, spread at random, from a second to a minute', async () => {
    const clock = createFakeClock();
    const quotas = createQuotas(clock);
    quotas.takeEvents(holder(), 1_100);
    const times = Array.from({ length: 200 }, () => quotas.refusal(holder(), 'both')?.retryAfterMs ?? 0);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(10_000);
    expect(Math.max(...times)).toBeLessThanOrEqual(15_000);
    expect(new Set(times).size).toBeGreaterThan(100);
    await clock.advance(9_999);
    expect(quotas.refusal(holder(), 'both')?.retryAfterMs).toBeGreaterThanOrEqual(1_000);
    await clock.advance(2);
    expect(quotas.refusal(holder(), 'both')).toBeUndefined();
    quotas.takeEvents(holder(), 1_000_000);
    expect(quotas.refusal(holder(), 'both')?.retryAfterMs).toBe(60_000);
  });

  test('holds no more than a second of what was not used', async () => {
    const clock = createFakeClock();
    const quotas = createQuotas(clock);
    quotas.takeEvents(holder(), 1);
    await clock.advance(60_000);
    quotas.takeEvents(holder(), 100);
    expect(quotas.refusal(holder(), 'both')?.detail).toBe('the key may send 100 events a second');
  });

  test('counts bytes and events apart, and each key apart', () => {
    const quotas = createQuotas(createFakeClock());
    const both = holder({ bytesPerSecond: 1_000 });
    quotas.takeBytes(both, 5_000);
    expect(quotas.refusal(both, 'both')?.detail).toBe('the key may send 1000 bytes a second');
    expect(quotas.refusal(both, 'events')).toBeUndefined();
    expect(quotas.refusal({ ...both, keyId: 'other' }, 'both')).toBeUndefined();
  });

  test('that is none refuses nothing', () => {
    const quotas = createQuotas(createFakeClock());
    const free = holder({ eventsPerSecond: null });
    quotas.takeEvents(free, 1e9);
    quotas.takeBytes(free, 1e12);
    expect(quotas.refusal(free, 'both')).toBeUndefined();
  });
});
