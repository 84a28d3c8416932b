import { formatTime, type RejectionCode } from '@tidemark/core/wire';
import type { AppendRow } from '../store/append.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import type { DecodedBatch, Rejection } from './decode.ts';
import { clockOffset } from './stamp.ts';

/** Where a letter comes from. */
export interface LetterOrigin {
  readonly keyId: string;
  /** Database time, microseconds. */
  readonly receivedAt: bigint;
}

export interface LetterReason {
  readonly code: RejectionCode;
  readonly message: string;
}

/** The letter of an event that could not be read as one. */
export function letterOfRejection(
  { id, stream, key, code, message, raw, truncated }: Rejection,
  { sentAt, clock, cloudEvents }: DecodedBatch,
  { keyId, receivedAt }: LetterOrigin,
): DeadLetter {
  return {
    code,
    message,
    stream,
    eventId: id,
    key: key !== null && storable(key) ? key : null,
    keyId,
    receivedAt,
    sentAt: sentAt ?? null,
    offsetMicros: clock?.offsetMicros ?? null,
    rttMs: clock?.rttMs ?? null,
    cloudEvent: cloudEvents === true,
    raw,
    truncated,
  };
}

/**
 * The letter of an event that was read, and not stored. What is known of the clock is not always what the client said of it, but it
 * gives the same event time again.
 */
export function letterOfRow(row: AppendRow, { code, message }: LetterReason, keyId: string): DeadLetter {
  const offset = offsetOf(row);
  const text = textOf(row);
  const raw = cut(text);
  return {
    code,
    message,
    stream: row.stream,
    eventId: row.id,
    key: row.key,
    keyId,
    receivedAt: row.receivedAt,
    sentAt: row.sentAt,
    offsetMicros: offset ?? null,
    rttMs: offset === undefined ? null : 0,
    cloudEvent: false,
    raw,
    truncated: raw.length < text.length,
  };
}

/** UTF-8 bytes of an event's text that are kept, when the text is ours: fields that were not sent may have been added. */
const textBytesMax = 69_632;

/** The event as its sender might have written it. `props` is the text that was sent. */
function textOf({ id, stream, name, key, props, occurredAt }: AppendRow): string {
  const members = [
    `"id":${JSON.stringify(id)}`,
    `"stream":"${stream}"`,
    `"name":${JSON.stringify(name)}`,
    ...(key === null ? [] : [`"key":${JSON.stringify(key)}`]),
    ...(occurredAt === null ? [] : [`"occurredAt":"${formatTime(occurredAt)}"`]),
    ...(props === null ? [] : [`"props":${props}`]),
  ];
  return `{${members.join(',')}}`;
}

function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= textBytesMax) return text;
  // Half a character at the end becomes a replacement character.
  return bytes.toString('utf8', 0, textBytesMax).replace(/\ufffd$/, '');
}

/** What has to be said of the client's clock so that the same event time comes out; undefined: nothing. */
function offsetOf({ occurredAt, eventTime, sentAt, receivedAt }: AppendRow): bigint | undefined {
  if (occurredAt === null) return undefined;
  const { offset } = clockOffset({ sentAt: sentAt ?? undefined, receivedAt, clock: undefined });
  return occurredAt + offset === eventTime ? undefined : eventTime - occurredAt;
}

/** Without NUL, and without half of a surrogate pair. */
function storable(text: string): boolean {
  return !/[\0\p{Surrogate}]/u.test(text);
}
