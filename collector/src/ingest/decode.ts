import { parseTime } from '@tidemark/core/wire';
import { brokenDetail, type FailedBody, malformed, tooManyEvents, utf8Of } from './decode-body.ts';
import { byte } from './decode-bytes.ts';
import { createEventDecoder, type DecodeContext, type DecodedEvent, type Rejection } from './decode-event.ts';
import { BrokenJson, createScan, passSpace, type Scan } from './decode-scan.ts';
import { enterArray, enterObject, nameOf, nextElement, nextMember, passValue } from './decode-value.ts';

export type { BodyProblem } from './decode-body.ts';
export type { DecodeContext, DecodedEvent, Rejection } from './decode-event.ts';

/** What was sent at once, and what of it may be stored. */
export interface DecodedBatch {
  /** The client's clock when it sent this, in microseconds; undefined: missing, or not a time. */
  readonly sentAt: bigint | undefined;
  /** What the client knows of its clock: server clock minus its own. */
  readonly clock: ClientOffset | undefined;
  readonly events: readonly DecodedEvent[];
  readonly rejections: readonly Rejection[];
  /** The texts of the rejections are CloudEvents, and not events of our own form. */
  readonly cloudEvents?: true;
}

export interface ClientOffset {
  readonly offsetMicros: bigint;
  readonly rttMs: number;
}

export type Decoded = { readonly ok: true; readonly batch: DecodedBatch } | FailedBody;

/**
 * Decodes the body of a JSON batch: `{"sentAt"?, "clock"?, "events": [...]}`.
 *
 * - `malformed`: not UTF-8, not JSON, or not of this shape; the detail says where (characters count from 1) and what was expected.
 * - `batch_too_large`: found before the events beyond the limit are looked at, so `actual` is a lower bound.
 *
 * Everything else concerns one event and becomes a rejection. Of members with the same name the last one counts. Unknown
 * members are passed over, at any depth.
 */
export function decodeBatch(body: Uint8Array, context: DecodeContext): Decoded {
  const text = utf8Of(body);
  if (!text.ok) return text;
  const { bytes, start } = text;
  try {
    return decodeEnvelope(createScan(bytes, context.limits.jsonDepth), start, context);
  } catch (error) {
    if (error instanceof BrokenJson) return malformed(brokenDetail(error, bytes, start));
    throw error;
  }
}

function decodeEnvelope(scan: Scan, start: number, context: DecodeContext): Decoded {
  const { batchEvents } = context.limits;
  const decoder = createEventDecoder(scan, context);
  let sentAt: bigint | undefined;
  let clock: ClientOffset | undefined;
  let events: DecodedEvent[] | undefined;
  let rejections: Rejection[] = [];

  let at = enterObject(scan, passSpace(scan, start));
  while (at > 0) {
    const name = nameOf(scan);
    const value = passSpace(scan, at);
    if (name !== 'events' || scan.bytes[value] !== byte.openBracket) {
      at = passValue(scan, value, 1);
      if (name === 'sentAt') sentAt = readTime(smallValue(scan, value, at));
      else if (name === 'clock') clock = readClock(smallValue(scan, value, at));
      else if (name === 'events') events = undefined;
    } else {
      events = [];
      rejections = [];
      at = enterArray(scan, value);
      for (let index = 0; at > 0; index++) {
        if (index === batchEvents) return tooManyEvents(batchEvents);
        at = nextElement(scan, decoder.pass(at), byte.closeBracket);
        const outcome = decoder.read(index);
        if ('code' in outcome) rejections.push(outcome);
        else events.push(outcome);
      }
      at = -at;
    }
    at = nextMember(scan, at);
  }
  const end = passSpace(scan, -at);
  if (end < scan.end) throw new BrokenJson(end, 'the end of the body');
  if (events === undefined) return malformed('the body has no array `events`');
  return { ok: true, batch: { sentAt, clock, events, rejections } };
}

/** The value between `start` and `end`, or undefined where it is larger than any time or clock. */
function smallValue(scan: Scan, start: number, end: number): unknown {
  if (end - start > 1_000) return undefined;
  return JSON.parse(scan.bytes.toString('utf8', start, end));
}

function readTime(value: unknown): bigint | undefined {
  return typeof value === 'string' ? parseTime(value) : undefined;
}

/** Half a clock, or one that no clock can be, says nothing. */
function readClock(value: unknown): ClientOffset | undefined {
  if (typeof value !== 'object' || value === null || !('offsetMs' in value) || !('rttMs' in value))
    return undefined;
  return clientOffset(value.offsetMs, value.rttMs);
}

/** Longer than from the year 1 to 9999: no clock is that far off. */
const offsetMsMax = 1e15;

export function clientOffset(offsetMs: unknown, rttMs: unknown): ClientOffset | undefined {
  if (typeof offsetMs !== 'number' || typeof rttMs !== 'number') return undefined;
  if (!(Math.abs(offsetMs) <= offsetMsMax) || !(rttMs >= 0)) return undefined;
  return { offsetMicros: BigInt(Math.round(offsetMs * 1_000)), rttMs };
}
