import { headers as ourHeaders } from '@tidemark/core/wire';
import { decodeCloudEvent, decodeCloudEvents } from './cloudevents.ts';
import { decodeBinaryCloudEvent, type HeaderList } from './cloudevents-binary.ts';
import { type Decoded, decodeBatch } from './decode.ts';
import type { BodyProblem } from './decode-body.ts';
import type { DecodeContext } from './decode-event.ts';
import { type Encoding, inflate, readEncoding } from './inflate.ts';
import { decodeLines } from './ndjson.ts';

/** How a body is to be read. */
export interface Media {
  readonly format: 'json' | 'ndjson' | 'cloudEvent' | 'cloudEvents' | 'binaryCloudEvent';
  readonly encoding: Encoding;
  /** `text/plain` may be gzip without saying so: a page that sends a beacon cannot say more. */
  readonly mayBeGzip: boolean;
}

/** What a request says about its body. */
export interface MediaRequest {
  /** The value of a header, its name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** The parameter `encoding` of the query. Wins over Content-Encoding. */
  readonly encoding: string | undefined;
}

/**
 * Chooses how a body is read, before any of it is: by its Content-Type, whatever the parameters and the case, and by the headers of
 * CloudEvents. Without a type it is a JSON batch.
 */
export function chooseMedia(
  request: MediaRequest,
): { readonly ok: true; readonly media: Media } | { readonly ok: false; readonly problem: BodyProblem } {
  const sentEncoding = request.encoding ?? request.header('content-encoding');
  const encoding = readEncoding(sentEncoding);
  if (encoding === undefined)
    return unsupported(
      `Content-Encoding ${shown(sentEncoding)} is not understood: send one of gzip, deflate, br, or none`,
    );
  const sentType = request.header('content-type');
  const type = sentType?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const format =
    request.header('ce-specversion') === undefined || type.startsWith(cloudEventsType)
      ? formats.get(type)
      : 'binaryCloudEvent';
  if (format === undefined)
    return unsupported(
      `Content-Type ${shown(sentType)} is not understood: send application/json or application/x-ndjson`,
    );
  return {
    ok: true,
    media: { format, encoding, mayBeGzip: type === 'text/plain' && encoding === 'identity' },
  };
}

const cloudEventsType = 'application/cloudevents';

const formats = new Map<string, Media['format']>([
  ['', 'json'],
  ['application/json', 'json'],
  ['text/plain', 'json'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson'],
  [`${cloudEventsType}+json`, 'cloudEvent'],
  [`${cloudEventsType}-batch+json`, 'cloudEvents'],
]);

function unsupported(detail: string): { readonly ok: false; readonly problem: BodyProblem } {
  return { ok: false, problem: { code: 'unsupported_media_type', detail } };
}

const shown = (value: string | undefined) => JSON.stringify((value ?? '').slice(0, 80));

/** Undoes the encoding of a body and reads it. `headers` are those of the request, names in lower case. */
export function decodeBody(
  body: Uint8Array,
  media: Media,
  headers: HeaderList,
  context: DecodeContext,
): Decoded {
  const isGzip = media.mayBeGzip && body[0] === 0x1f && body[1] === 0x8b;
  const inflated = inflate(body, isGzip ? 'gzip' : media.encoding, context.limits.inflatedBytes);
  if (!inflated.ok) return inflated;
  return readers[media.format](inflated.bytes, headers, context);
}

const readers: Record<
  Media['format'],
  (bytes: Uint8Array, headers: HeaderList, context: DecodeContext) => Decoded
> = {
  json: (bytes, _, context) => decodeBatch(bytes, context),
  ndjson: (bytes, headers, context) => decodeLines(bytes, sentAtOf(headers), context),
  cloudEvent: (bytes, _, context) => decodeCloudEvent(bytes, context),
  cloudEvents: (bytes, _, context) => decodeCloudEvents(bytes, context),
  binaryCloudEvent: decodeBinaryCloudEvent,
};

function sentAtOf(headers: HeaderList): string | undefined {
  const wanted = ourHeaders.sentAt.toLowerCase();
  for (const [name, value] of headers) if (name === wanted) return value;
  return undefined;
}
