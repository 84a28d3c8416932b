import { parseTime } from '@tidemark/core/wire';
import { byte } from './decode-bytes.ts';
import { passSpace, type Scan } from './decode-scan.ts';
import { usualTime } from './decode-time.ts';
import { enterObject, nameOf, nextMember, passValue } from './decode-value.ts';

/** A field as it was sent. undefined: missing or null. false: something other than what it must be. */
export type Sent<T> = T | undefined | false;

/** The fields of an event. */
export interface SentFields {
  readonly id: Sent<string>;
  readonly stream: Sent<string>;
  readonly name: Sent<string>;
  readonly key: Sent<string>;
  /** The JSON text of the object. */
  readonly props: Sent<string>;
  /** In microseconds. */
  readonly occurredAt: Sent<bigint>;
}

const fieldNames = ['id', 'stream', 'name', 'key', 'props', 'occurredAt'] as const;
const [id, stream, name, key, props, occurredAt] = [0, 1, 2, 3, 4, 5] as const;

/**
 * Finds the fields of an event while the scanner passes over its bytes, and reads them afterwards as slices of the one string
 * that is made of the event: that takes a quarter of the time of a string for each field.
 */
export function createFields(scan: Scan) {
  /** Where the value of each field begins and ends, in UTF-16 units from the start of the event. */
  const starts = new Int32Array(fieldNames.length);
  const ends = new Int32Array(fieldNames.length);
  /** A bit for each field that was sent, and for each that may have escapes. */
  let present = 0;
  let escaped = 0;
  /** Where the value of `occurredAt` begins and ends, in bytes. */
  let timeStart = 0;
  let timeEnd = 0;

  return {
    /** Passes over the object at `start` and gives the place behind it. Of a field sent twice the last one counts. */
    pass(start: number): number {
      present = 0;
      escaped = 0;
      let at = enterObject(scan, start);
      while (at > 0) {
        const field = fieldAt(scan);
        const value = passSpace(scan, at);
        const valueStart = value - start - scan.excess;
        at = passValue(scan, value, 2);
        if (field >= 0) {
          const bit = 1 << field;
          starts[field] = valueStart;
          ends[field] = at - start - scan.excess;
          present |= bit;
          if (field === occurredAt) {
            timeStart = value;
            timeEnd = at;
          }
          if (scan.escaped) escaped |= bit;
        }
        at = nextMember(scan, at);
      }
      return -at;
    },

    /** `text` is the event, or its beginning: a field that goes on behind its end counts as missing. */
    read(text: string): SentFields {
      return {
        id: string(text, id),
        stream: string(text, stream),
        name: string(text, name),
        key: string(text, key),
        props: object(text, props),
        occurredAt: time(text),
      };
    },
  };

  function string(text: string, field: number): Sent<string> {
    const from = starts[field] as number;
    const to = ends[field] as number;
    if (!(present & (1 << field)) || to > text.length) return undefined;
    const first = text.charCodeAt(from);
    if (first !== byte.quote) return first === byte.lowerN ? undefined : false;
    return escaped & (1 << field) ? String(JSON.parse(text.slice(from, to))) : text.slice(from + 1, to - 1);
  }

  function object(text: string, field: number): Sent<string> {
    const from = starts[field] as number;
    const to = ends[field] as number;
    if (!(present & (1 << field)) || to > text.length) return undefined;
    const first = text.charCodeAt(from);
    if (first !== byte.openBrace) return first === byte.lowerN ? undefined : false;
    return text.slice(from, to);
  }

  function time(text: string): Sent<bigint> {
    if (!(present & (1 << occurredAt))) return undefined;
    const micros = usualTime(scan.bytes, timeStart + 1, timeEnd - 1);
    if (micros >= 0) return BigInt(micros);
    const sent = string(text, occurredAt);
    return typeof sent === 'string' ? (parseTime(sent) ?? false) : sent;
  }
}

const nameBytes = fieldNames.map((text) => Buffer.from(text));

/** The field whose name has so many bytes, or -1: no two have the same number. */
const fieldOfLength = Array.from({ length: 11 }, (_, length) =>
  fieldNames.findIndex((text) => text.length === length),
);

/** Which field the member at the scanner's place is, or -1. */
function fieldAt(scan: Scan): number {
  if (scan.nameEscaped) {
    const unescaped = nameOf(scan);
    return fieldNames.findIndex((text) => text === unescaped);
  }
  const { bytes, nameStart, nameEnd } = scan;
  const field = fieldOfLength[nameEnd - nameStart] ?? -1;
  const wanted = nameBytes[field];
  if (wanted === undefined) return -1;
  for (let at = 0; at < wanted.length; at++) if (bytes[nameStart + at] !== wanted[at]) return -1;
  return field;
}
