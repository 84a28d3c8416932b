import { formatTime, timeQualities } from '@tidemark/core/wire';
import type { EventRow, StreamHead } from '../store/page.ts';
import { encodeCursor } from './cursor.ts';
import type { EventPage } from './page.ts';

/** What ends a page, as the members of a JSON object. */
export function renderPageEnd({ head, next, hasMore, gap }: Omit<EventPage, 'events'>): string {
  const behindMicros = head.watermark - next.orderTime;
  const missing =
    gap === undefined ? '' : `,"gap":{"from":${renderTime(gap.from)},"to":${renderTime(gap.to)}}`;
  return (
    `"nextCursor":"${encodeCursor(head.identity, head.epoch, next)}","hasMore":${hasMore},` +
    `"watermark":"${formatTime(head.watermark)}","behindMs":${behindMicros > 0n ? behindMicros / 1_000n : 0n}${missing}`
  );
}

/**
 * An event as JSON text, on one line: line breaks between the members of props are white space. `props` goes through as the text it was
 * stored as, so that no number loses a digit.
 */
export function renderEvent(stream: string, head: StreamHead, event: EventRow): string {
  const lateMicros = event.orderTime - event.eventTime;
  const late = lateMicros > 0n;
  return (
    `{"id":${JSON.stringify(event.id)},"stream":"${stream}","name":${JSON.stringify(event.name)},` +
    `"key":${JSON.stringify(event.key)},"props":${event.props?.replaceAll(/[\r\n]/g, ' ') ?? 'null'},` +
    `"occurredAt":${renderTime(event.occurredAt)},"sentAt":${renderTime(event.sentAt)},` +
    `"receivedAt":${renderTime(event.receivedAt)},"eventTime":${renderTime(event.eventTime)},` +
    `"orderTime":${renderTime(event.orderTime)},"late":${late},"lateByMs":${late ? (lateMicros + 999n) / 1_000n : 0n},` +
    `"timeQuality":"${timeQualities[event.timeQuality] ?? 'ok'}"${event.more ?? ''},` +
    `"cursor":"${encodeCursor(head.identity, head.epoch, event)}"}`
  );
}

function renderTime(micros: bigint | null): string {
  return micros === null ? 'null' : `"${formatTime(micros)}"`;
}
