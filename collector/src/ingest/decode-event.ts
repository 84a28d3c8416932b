import { type Limits, type RejectionCode, streamNamePattern } from '@tidemark/core/wire';
import { byte, isContinuation } from './decode-bytes.ts';
import { createFields, type Sent, type SentFields } from './decode-fields.ts';
import { createScan, passSpace, type Scan, type Unfit } from './decode-scan.ts';
import { passValue } from './decode-value.ts';

export interface DecodeContext {
  readonly limits: Limits;
  /** The stream of events that name none. */
  readonly defaultStream: string;
}

/** An event that may be stored. Times are microseconds since the Unix epoch. */
export interface DecodedEvent {
  /** Its position in the batch as sent. */
  readonly index: number;
  /** undefined: the collector makes one. */
  readonly id: string | undefined;
  readonly stream: string;
  readonly name: string;
  readonly key: string | null;
  /** The JSON text of the object as it was sent, on one line: line breaks between tokens are gone. */
  readonly props: string | null;
  /** undefined: missing, null, or not a time. */
  readonly occurredAt: bigint | undefined;
  /** Sent, but not a time. */
  readonly occurredAtUnparsable: boolean;
}

/** An event that may not be stored, and why. */
export interface Rejection {
  readonly index: number;
  /** null: it has none, or none that is allowed. */
  readonly id: string | null;
  readonly code: RejectionCode;
  readonly message: string;
  /** Where it would have gone, and what it is about; null: not known. */
  readonly stream: string | null;
  readonly key: string | null;
  /** The text that was sent, for the dead letter: its first 64 KiB. */
  readonly raw: string;
  /** The text goes on. */
  readonly truncated: boolean;
}

/** UTF-8 bytes of a rejected event's text that are kept. */
const rawBytesMax = 65_536;

/**
 * Gives functions for the events of one body: `pass` goes over the event at a place, gives the place behind it, and is the
 * only one to throw (BrokenJson); `read` then makes what was passed an event or a rejection.
 */
export function createEventDecoder(scan: Scan, context: DecodeContext) {
  const { limits, defaultStream } = context;
  const fields = createFields(scan);
  /** Most batches go to one stream: its name is checked and copied once. */
  let lastStream = defaultStream;
  let start = 0;
  let end = 0;
  let isObject = false;

  return { pass, read };

  function pass(from: number): number {
    start = passSpace(scan, from);
    scan.excess = 0;
    scan.lineBreaks = false;
    scan.unfit = undefined;
    isObject = scan.bytes[start] === byte.openBrace;
    end = isObject ? fields.pass(start) : passValue(scan, start, 1);
    return end;
  }

  function read(index: number): DecodedEvent | Rejection {
    const bytes = end - start;
    const text = textOf(scan, start, end, bytes);
    const sent = isObject ? fields.read(text) : undefined;
    const outcome =
      bytes > limits.eventBytes
        ? fault('event_too_large', `the event has ${bytes} bytes, the limit is ${limits.eventBytes}`)
        : sent === undefined
          ? fault('invalid_event', 'an event must be an object')
          : scan.unfit === undefined
            ? eventOf(index, sent)
            : unfitFaults[scan.unfit](limits);
    if (!('code' in outcome)) return outcome;
    const truncated = bytes > rawBytesMax;
    const raw = truncated ? textOf(scan, start, end, rawBytesMax) : text;
    return { index, ...outcome, ...knownOf(sent), raw, truncated };
  }

  /** What a rejected event is reported and found by, as far as it is in order. */
  function knownOf(sent: SentFields | undefined): Pick<Rejection, 'id' | 'stream' | 'key'> {
    if (sent === undefined) return unknown;
    const { id, stream = defaultStream, key } = sent;
    return {
      id: storable(id, 1, limits.idCharacters),
      stream: stream !== false && streamNamePattern.test(stream) ? stream : null,
      key: storable(key, 0, limits.keyCharacters),
    };
  }

  function eventOf(index: number, sent: SentFields): DecodedEvent | Fault {
    const { id, stream = defaultStream, name, key, props, occurredAt } = sent;
    if (id !== undefined && !fits(id, 1, limits.idCharacters))
      return fault('invalid_id', textMessage('id', id, 1, limits.idCharacters));
    if (stream !== lastStream) {
      if (stream === false || !streamNamePattern.test(stream)) return fault('invalid_stream', streamMessage);
      lastStream = ownCopy(stream);
    }
    if (!fits(name, 1, limits.nameCharacters))
      return fault('invalid_name', textMessage('name', name, 1, limits.nameCharacters));
    if (key !== undefined && !fits(key, 0, limits.keyCharacters))
      return fault('invalid_key', textMessage('key', key, 0, limits.keyCharacters));
    if (props === false) return fault('invalid_props', '`props` must be an object');
    return {
      index,
      id,
      stream: lastStream,
      name,
      key: key ?? null,
      props: props === undefined ? null : scan.lineBreaks ? onOneLine(props) : props,
      occurredAt: occurredAt === false ? undefined : occurredAt,
      occurredAtUnparsable: occurredAt === false,
    };
  }
}

/** Decodes an event from a text that was made of another format. Precondition: it is a JSON object. */
export function decodeEventText(text: string, index: number, context: DecodeContext, depthMax: number) {
  const decoder = createEventDecoder(createScan(Buffer.from(text), depthMax), context);
  decoder.pass(0);
  return decoder.read(index);
}

interface Fault {
  readonly code: RejectionCode;
  readonly message: string;
}

const fault = (code: RejectionCode, message: string): Fault => ({ code, message });

const unfitFaults: Record<Unfit, (limits: Limits) => Fault> = {
  nul: () => fault('unstorable_text', 'Postgres cannot store the character NUL (\\u0000)'),
  surrogate: () => fault('unstorable_text', 'an escape stands for half of a surrogate pair'),
  number: () =>
    fault('unstorable_number', 'a number has more than 131072 digits before the point or 16383 behind it'),
  depth: ({ jsonDepth }) =>
    fault('too_deep', `the event nests deeper than ${jsonDepth} levels, itself included`),
};

const streamMessage = '`stream` must be a string of 1 to 64 of the characters A–Z a–z 0–9 . _ -';

function textMessage(field: string, value: Sent<string>, least: number, most: number): string {
  const found =
    value === undefined
      ? 'it is missing'
      : value === false
        ? 'it is not a string'
        : `it has ${codePoints(value)}`;
  return `\`${field}\` must be a string of ${least} to ${most} characters: ${found}`;
}

/** Characters are code points, as in Postgres. */
function fits(value: Sent<string>, least: number, most: number): value is string {
  if (typeof value !== 'string' || value.length < least) return false;
  return value.length <= most || (value.length <= most * 2 && codePoints(value) <= most);
}

function codePoints(value: string): number {
  let count = 0;
  for (const _ of value) count++;
  return count;
}

function storable(value: Sent<string>, least: number, most: number): string | null {
  return fits(value, least, most) && !unstorable.test(value) ? value : null;
}

/** NUL, or a surrogate without its other half. */
const unstorable = /[\0\p{Surrogate}]/u;

/** A line break in JSON text stands between tokens, and so does the indent behind it. */
function onOneLine(json: string): string {
  return json.replaceAll(/[\r\n][\t\r\n ]*/g, '');
}

/** A slice keeps the text it was cut from, and the collector keeps names of streams in its caches. */
function ownCopy(stream: string): string {
  return Buffer.from(stream, 'latin1').toString('latin1');
}

/** The text of bytes [start, end), or as many whole characters of it as `bytesMax` bytes hold. */
function textOf(scan: Scan, start: number, end: number, bytesMax: number): string {
  const encoding = scan.excess === 0 ? 'latin1' : 'utf8';
  return scan.bytes.toString(encoding, start, cutOf(scan.bytes, start, end, bytesMax));
}

/** What is kept of a rejected text that is not read as JSON, and so may have characters that Postgres cannot store. */
export function rawText(bytes: Buffer, start: number, end: number): Pick<Rejection, 'raw' | 'truncated'> {
  const raw = bytes.toString('utf8', start, cutOf(bytes, start, end, rawBytesMax)).replaceAll('\0', '\ufffd');
  return { raw, truncated: end - start > rawBytesMax };
}

/** Of a text of which nothing else is known. */
export const unknown = { id: null, stream: null, key: null } as const;

function cutOf(bytes: Buffer, start: number, end: number, bytesMax: number): number {
  let cut = Math.min(end, start + bytesMax);
  while (cut < end && isContinuation(bytes[cut])) cut--;
  return cut;
}
