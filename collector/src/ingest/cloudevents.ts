import type { Decoded } from './decode.ts';
import { brokenDetail, malformed, tooManyEvents, utf8Of } from './decode-body.ts';
import { byte } from './decode-bytes.ts';
import { type DecodeContext, type DecodedEvent, type Rejection, rawText, unknown } from './decode-event.ts';
import { readMembers } from './decode-members.ts';
import { BrokenJson, createScan, passSpace } from './decode-scan.ts';
import { enterArray, nextElement, passValue } from './decode-value.ts';
import { eventOfCloudEvent } from './cloudevents-event.ts';

/** Decodes the structured form of CloudEvents over HTTP: the body is one event as a JSON object. */
export function decodeCloudEvent(body: Uint8Array, context: DecodeContext): Decoded {
  return decodeJson(body, context, 'one');
}

/** Decodes the batched form: the body is a JSON array of events. */
export function decodeCloudEvents(body: Uint8Array, context: DecodeContext): Decoded {
  return decodeJson(body, context, 'several');
}

function decodeJson(body: Uint8Array, context: DecodeContext, form: 'one' | 'several'): Decoded {
  const text = utf8Of(body);
  if (!text.ok) return text;
  const { bytes } = text;
  const { batchEvents } = context.limits;
  const scan = createScan(bytes, Number.POSITIVE_INFINITY);
  const events: DecodedEvent[] = [];
  const rejections: Rejection[] = [];
  try {
    const first = passSpace(scan, text.start);
    let end: number;
    if (form === 'one') end = takeObject(first, 0);
    else {
      let at = enterArray(scan, first);
      for (let index = 0; at > 0; index++) {
        if (index === batchEvents) return tooManyEvents(batchEvents);
        at = nextElement(scan, takeElement(at, index), byte.closeBracket);
      }
      end = -at;
    }
    const behind = passSpace(scan, end);
    if (behind < scan.end) throw new BrokenJson(behind, 'the end of the body');
    return {
      ok: true,
      batch: { sentAt: undefined, clock: undefined, events, rejections, cloudEvents: true },
    };
  } catch (error) {
    if (error instanceof BrokenJson) return malformed(brokenDetail(error, bytes, text.start));
    throw error;
  }

  function takeElement(start: number, index: number): number {
    const first = passSpace(scan, start);
    if (bytes[first] === byte.openBrace) return takeObject(first, index);
    const end = passValue(scan, first, 1);
    const message = 'a CloudEvent must be an object';
    rejections.push({ index, ...unknown, code: 'invalid_event', message, ...rawText(bytes, first, end) });
    return end;
  }

  function takeObject(start: number, index: number): number {
    const { members, end } = readMembers(scan, start);
    const sent = { bytes: end - start, ...rawText(bytes, start, end) };
    const outcome = eventOfCloudEvent(members, sent, index, context);
    if ('code' in outcome) rejections.push(outcome);
    else events.push(outcome);
    return end;
  }
}
