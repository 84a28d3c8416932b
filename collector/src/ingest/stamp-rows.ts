import type { AppendRow } from '../store/append.ts';
import { claimOf } from '../store/claim.ts';
import type { DecodedBatch, DecodedEvent } from './decode.ts';
import { clockOffset, stampEvent } from './stamp.ts';

/** Gives each event its id, its claim, and the time at which it happened by the server's clock. */
export function stampRows(
  events: readonly DecodedEvent[],
  { sentAt, clock }: Pick<DecodedBatch, 'sentAt' | 'clock'>,
  receivedAt: bigint,
  newId: () => string,
): readonly AppendRow[] {
  const offset = clockOffset({ sentAt, receivedAt, clock });
  return events.map((event) => {
    const id = event.id ?? newId();
    const { eventTime, timeQuality } = stampEvent(event.occurredAt, offset, receivedAt);
    return {
      stream: event.stream,
      claim: claimOf(id),
      id,
      name: event.name,
      key: event.key,
      props: event.props,
      occurredAt: event.occurredAt ?? null,
      sentAt: sentAt ?? null,
      receivedAt,
      eventTime,
      timeQuality,
      ip: null,
      userAgent: null,
    };
  });
}
