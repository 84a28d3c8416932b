import { isUtf8 } from 'node:buffer';
import { eventOfCloudEvent } from './cloudevents-event.ts';
import type { Decoded } from './decode.ts';
import { brokenDetail, type FailedBody, malformed, utf8Of } from './decode-body.ts';
import { type DecodeContext, rawText, unknown } from './decode-event.ts';
import { type Members, objectText } from './decode-members.ts';
import { BrokenJson, createScan, passSpace } from './decode-scan.ts';
import { passValue } from './decode-value.ts';

/** Headers of a request, names in lower case. */
export type HeaderList = Iterable<readonly [name: string, value: string]>;

/**
 * Decodes the binary form of CloudEvents over HTTP: attributes are `ce-…` headers, the body is the data, Content-Type its type.
 * JSON becomes `data` as it is, and fails the body where it is broken; other text becomes `data` as a string, and what is no text
 * `data_base64`.
 */
export function decodeBinaryCloudEvent(
  body: Uint8Array,
  headers: HeaderList,
  context: DecodeContext,
): Decoded {
  const attributes: Members = new Map();
  let broken: string | undefined;
  for (const [name, value] of headers) {
    if (name === 'content-type') attributes.set('datacontenttype', JSON.stringify(value));
    if (!name.startsWith(prefix) || dataNames.has(name)) continue;
    const text = decodeHeader(value);
    if (text === undefined) broken ??= name;
    else attributes.set(name.slice(prefix.length), JSON.stringify(text));
  }
  const data = dataOf(body, attributes);
  if (!data.ok) return data;

  const json = Buffer.from(objectText([...attributes, ...data.members]));
  const text = rawText(json, 0, json.length);
  const bytes = Buffer.byteLength(objectText(attributes)) + body.length;
  const outcome =
    broken === undefined
      ? eventOfCloudEvent(new Map([...attributes, ...data.members]), { bytes, ...text }, 0, context)
      : ({
          index: 0,
          ...unknown,
          code: 'invalid_event',
          message: `the header ${broken} is not UTF-8`,
          ...text,
        } as const);
  const [events, rejections] = 'code' in outcome ? [[], [outcome]] : [[outcome], []];
  return { ok: true, batch: { sentAt: undefined, clock: undefined, events, rejections, cloudEvents: true } };
}

const prefix = 'ce-';
/** What only the body and Content-Type may say. */
const dataNames = new Set(['ce-data', 'ce-data_base64', 'ce-datacontenttype']);

/**
 * The text of a header's value: quotes undone, then one round of percent-decoding (HTTP binding 3.1.3.2). A percent sign that
 * begins no escape stands for itself, because some senders do not escape at all; for the same reason bytes above 127 may be
 * UTF-8 or Latin-1. undefined: what is escaped is not UTF-8.
 */
function decodeHeader(value: string): string | undefined {
  const latin1 = Buffer.from(value, 'latin1');
  const unquoted = unquote(isUtf8(latin1) ? latin1.toString('utf8') : value);
  let decodable = true;
  const text = unquoted.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => {
    const bytes = Buffer.from(escapes.replaceAll('%', ''), 'hex');
    decodable &&= isUtf8(bytes);
    return bytes.toString('utf8');
  });
  return decodable ? text : undefined;
}

function unquote(value: string): string {
  if (value.length < 2 || !value.startsWith('"') || !value.endsWith('"')) return value;
  return value.slice(1, -1).replaceAll(/\\(.)/g, '$1');
}

function dataOf(
  body: Uint8Array,
  attributes: Members,
): { readonly ok: true; readonly members: Members } | FailedBody {
  if (body.length === 0) return { ok: true, members: new Map() };
  if (jsonType.test(attributes.get('datacontenttype') ?? '')) return jsonData(body);
  const member: [string, string] = isUtf8(body)
    ? ['data', JSON.stringify(Buffer.from(body).toString('utf8'))]
    : ['data_base64', JSON.stringify(Buffer.from(body).toString('base64'))];
  return { ok: true, members: new Map([member]) };
}

/** `application/json`, `application/anything+json`, with or without parameters, as JSON text. */
const jsonType = /^"(?:application|text)\/(?:[^";]+\+)?json\s*(?:;|"$)/i;

function jsonData(body: Uint8Array): { readonly ok: true; readonly members: Members } | FailedBody {
  const text = utf8Of(body);
  if (!text.ok) return text;
  const { bytes, start } = text;
  const scan = createScan(bytes, Number.POSITIVE_INFINITY);
  try {
    const first = passSpace(scan, start);
    const end = passValue(scan, first, 1);
    const behind = passSpace(scan, end);
    if (behind < scan.end) throw new BrokenJson(behind, 'the end of the body');
    return { ok: true, members: new Map([['data', bytes.toString('utf8', first, end)]]) };
  } catch (error) {
    if (error instanceof BrokenJson) return malformed(brokenDetail(error, bytes, start));
    throw error;
  }
}
