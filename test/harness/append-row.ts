import type { AppendRow } from '../../collector/src/store/append.ts';
import { claimOf } from '../../collector/src/store/claim.ts';

/** An event with this id, ready to be stored. */
export function appendRow(id: string, change: Partial<Omit<AppendRow, 'id' | 'claim'>> = {}): AppendRow {
  return {
    stream: 'default',
    claim: claimOf(id),
    id,
    name: 'thing.happened',
    key: null,
    props: null,
    occurredAt: null,
    sentAt: null,
    receivedAt: 1_767_225_600_000_000n,
    eventTime: 1_767_225_600_000_000n,
    timeQuality: 6,
    ip: null,
    userAgent: null,
    ...change,
  };
}
