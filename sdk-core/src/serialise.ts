import type { Clock } from './clock.ts';
import { createIds } from './ids.ts';
import { textOf } from './outcome.ts';
import type { QueuedEvent } from './queue.ts';

/** What may be said about an event beside its name and props. */
export interface TrackOptions {
  /** Default: the key's default stream. */
  readonly stream?: string | undefined;
  /** What the event is about: a user, an order … */
  readonly key?: string | undefined;
  /** When it happened, where that is not now. It is never corrected for a stepping clock. RFC 3339 or a Date. */
  readonly occurredAt?: string | Date | undefined;
  /** Default: a new UUIDv7. The same id again within the dedupe window is stored once. */
  readonly id?: string | undefined;
}

export type Serialiser = (
  nowMs: number,
  name: string,
  props: object | undefined,
  options: TrackOptions,
) => string;

/**
 * Turns a call of `track()` into JSON text, once. `occurredAt` stands first, so that our own stamp can be replaced without parsing.
 * Throws what `JSON.stringify` and `Date.toISOString` throw, and TypeError for a name that is not a string.
 */
export function createSerialiser(random: () => number): Serialiser {
  const newId = createIds(random);
  const stamp = createStamp();

  return (nowMs, name, props, { id, stream, key, occurredAt }) => {
    if (typeof name !== 'string') throw new TypeError('name must be a string');
    return JSON.stringify({
      occurredAt: occurredAt == null ? stamp(nowMs) : textOf(occurredAt),
      id: id == null ? newId(nowMs) : textOf(id),
      name,
      stream: textOf(stream),
      key: textOf(key),
      props: props ?? undefined,
    });
  };
}

/** The event's text; with a new `occurredAt`, down to the millisecond, where the clock was set back since we stamped it. */
export function restate(event: QueuedEvent, clock: Clock): string {
  const at = event.stamped ? clock.restated(event.queuedAt) : undefined;
  if (at === undefined) return event.json;
  const restated = timeLabel + isoMs(at);
  return restated < event.json ? restated + event.json.slice(restated.length) : event.json;
}

/** Bytes of a text in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    // A surrogate is half of a pair of four bytes; anything else from U+0800 on has three.
    if (code > 0x7f) bytes += code > 0x7ff && (code < 0xd800 || code > 0xdfff) ? 2 : 1;
  }
  return bytes;
}

/**
 * RFC 3339 with six digits. The last three count the events of one millisecond, so that they keep their order also where they are
 * sent apart.
 */
function createStamp(): (nowMs: number) => string {
  let millisecond = NaN;
  let head = '';
  let count = 0;
  return (nowMs) => {
    count = nowMs === millisecond ? Math.min(count + 1, 1_999) : 1_000;
    if (count === 1_000) head = isoMs(nowMs);
    millisecond = nowMs;
    return `${head}${String(count).slice(1)}Z`;
  };
}

const timeLabel = '{"occurredAt":"';

/** `2026-01-31T23:59:59.000`. */
function isoMs(ms: number): string {
  return new Date(ms).toISOString().slice(0, -1);
}
