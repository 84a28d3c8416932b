import { absent, type Longs } from '../store/columns.ts';

/** A column of times and the name of the member that they become. */
export interface TimeColumn {
  readonly name: string;
  /** Microseconds. */
  readonly times: Longs;
}

/** Writes the times of the event with this number, as members of a JSON object with a comma before each; answers with the place after them. */
export type WriteTimes = (out: Buffer, at: number, index: number) => number;

/**
 * All times of an event have the same width, and from one event to the next only a few digits change: so the members are copied from a
 * template in one go, which has the second of the event before, and only the microseconds are written for each event. There is a template
 * for each choice of times that are there. Precondition: the years 1–9999.
 */
export function createTimesWriter(columns: readonly TimeColumn[]): WriteTimes {
  const templates = new Map<number, Template>();

  function templateOf(index: number): Template {
    let there = 0;
    for (const { times } of columns) there = there * 2 + (times[index * 2] === absent ? 0 : 1);
    const known = templates.get(there);
    if (known !== undefined) return known;
    const made = createTemplate(columns, index);
    templates.set(there, made);
    return made;
  }

  return (out, at, index) => {
    const { bytes, fields } = templateOf(index);
    out.set(bytes, at);
    for (const field of fields) {
      const { times, place } = field;
      const high = times[index * 2] ?? 0;
      const rest = restOf(high, times[index * 2 + 1] ?? 0);
      const carry = Math.floor(rest / 1e6);
      const seconds = high * 4_294 + carry;
      if (seconds !== field.seconds) {
        field.seconds = seconds;
        const text = formatSeconds(seconds);
        bytes.write(text, place, 'latin1');
        out.write(text, at + place, 'latin1');
      }
      putMicros(out, at + place + microsPlace, rest - carry * 1e6);
    }
    return at + bytes.length;
  };
}

/**
 * How many milliseconds one time is after another, rounded up; 0 if it is not.
 */
export function millisecondsAfter(times: Longs, others: Longs, index: number): number {
  const rest = restOf(times[index * 2] ?? 0, times[index * 2 + 1] ?? 0);
  const otherRest = restOf(others[index * 2] ?? 0, others[index * 2 + 1] ?? 0);
  const seconds = ((times[index * 2] ?? 0) - (others[index * 2] ?? 0)) * 4_294;
  return Math.max(0, seconds * 1_000 + Math.ceil((rest - otherRest) / 1_000));
}

/**
 * 2^32 = 4,294 × 10^6 + 967,296: so microseconds are `high` × 4,294 seconds and as many microseconds as this says, all of it in numbers
 * that lose no digit.
 */
function restOf(high: number, low: number): number {
  return high * 967_296 + (low >>> 0);
}

interface Template {
  readonly bytes: Buffer;
  readonly fields: readonly Field[];
}

interface Field {
  readonly times: Longs;
  readonly place: number;
  /** What the template shows. */
  seconds: number;
}

const blank = '0000-00-00T00:00:00.000000Z';
const microsPlace = 20;

/** For events that have the same times as the one with this number. */
function createTemplate(columns: readonly TimeColumn[], index: number): Template {
  let text = '';
  const fields: Field[] = [];
  for (const { name, times } of columns) {
    if (times[index * 2] === absent) {
      text += `,"${name}":null`;
    } else {
      text += `,"${name}":"`;
      fields.push({ times, place: text.length, seconds: Number.NaN });
      text += `${blank}"`;
    }
  }
  return { bytes: Buffer.from(text, 'latin1'), fields };
}

/** `2026-01-31T23:59:59`. A Date is good for seconds: only microseconds are beyond it. */
function formatSeconds(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().slice(0, 19);
}

function putMicros(out: Buffer, at: number, micros: number): void {
  const upper = (micros / 10_000) | 0;
  const lower = micros - upper * 10_000;
  const middle = (lower / 100) | 0;
  putTwo(out, at, upper);
  putTwo(out, at + 2, middle);
  putTwo(out, at + 4, lower - middle * 100);
}

function putTwo(out: Buffer, at: number, value: number): void {
  const tens = (value / 10) | 0;
  out[at] = digitZero + tens;
  out[at + 1] = digitZero + value - tens * 10;
}

const digitZero = 0x30;
