import type { Decoded } from './decode.ts';
import { type DecodeContext, decodeEventText } from './decode-event.ts';
import { objectText } from './decode-members.ts';

/** A transparent GIF of one pixel. */
export const pixelGif: Uint8Array = Buffer.from(
  'R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7',
  'base64',
);

/**
 * Decodes the query of `GET /v1/pixel.gif`: one event. Parameters that are not an event's fields, the key or about time are its
 * props, as strings. Of a parameter given twice the last one counts.
 */
export function decodePixel(query: URLSearchParams, context: DecodeContext): Decoded {
  const fields = new Map<string, string>();
  const props = new Map<string, string>();
  for (const [name, value] of query) {
    const field = fieldOfParameter.get(name);
    if (field !== undefined) fields.set(field, JSON.stringify(value));
    else if (!aboutTheRequest.has(name)) props.set(name, JSON.stringify(value));
  }
  if (props.size > 0) fields.set('props', objectText(props));
  const outcome = decodeEventText(objectText(fields), 0, context, context.limits.jsonDepth);
  const [events, rejections] = 'code' in outcome ? [[], [outcome]] : [[outcome], []];
  return { ok: true, batch: { sentAt: undefined, clock: undefined, events, rejections } };
}

const fieldOfParameter = new Map([
  ['id', 'id'],
  ['stream', 'stream'],
  ['name', 'name'],
  ['eventKey', 'key'],
  ['t', 'occurredAt'],
]);

const aboutTheRequest = new Set(['key', 'sentAt', 'offsetMs', 'rttMs']);
