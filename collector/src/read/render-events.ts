import { timeQualities } from '@tidemark/core/wire';
import { type ColumnEvent, type EventColumns, textSeparator } from '../store/columns.ts';
import type { StreamHead } from '../store/page.ts';
import { createCursorWriter, cursorLength } from './cursor.ts';
import type { EventPage } from './page.ts';
import { renderPageEnd } from './render.ts';
import { createTimesWriter, millisecondsAfter } from './render-times.ts';

/** A page as JSON text. */
export function renderColumnPage(stream: string, page: EventPage<ColumnEvent>): Buffer<ArrayBuffer> {
  return renderList('{"events":[', stream, page, `],${renderPageEnd(page)}}`);
}

/** The events of a page as a JSON array, on one line, between two texts. */
export function renderColumnArray(
  before: string,
  stream: string,
  page: EventPage<ColumnEvent>,
  end: string,
): Buffer<ArrayBuffer> {
  return renderList(`${before}[`, stream, page, `]${end}`);
}

function renderList(
  before: string,
  stream: string,
  page: EventPage<ColumnEvent>,
  end: string,
): Buffer<ArrayBuffer> {
  const events = renderAll(stream, page, comma);
  // There is no comma after the last one.
  const listed = events.subarray(0, Math.max(0, events.length - 1));
  return Buffer.concat([Buffer.from(before), listed, Buffer.from(end)]);
}

/** The events of a page, one a line, each with its line end. */
export function renderColumnLines(stream: string, page: EventPage<ColumnEvent>): Buffer {
  return renderAll(stream, page, lineFeed);
}

function renderAll(stream: string, { head, events }: EventPage<ColumnEvent>, separator: number): Buffer {
  const texts: Buffer[] = [];
  // A page takes events from the beginning of each of its pieces.
  for (let from = 0, to = 0; from < events.length; from = to) {
    const columns = events[from]?.columns;
    while (events[to]?.columns === columns && to < events.length) to += 1;
    if (columns !== undefined) texts.push(renderColumns(stream, head, columns, to - from, separator));
  }
  return texts.length === 1 && texts[0] !== undefined ? texts[0] : Buffer.concat(texts);
}

/**
 * The first `count` events as JSON texts, each followed by `separator`, a byte. Bytes are copied to where they go: on the way from
 * Postgres to the socket an event becomes neither an object nor a string. `props` goes through as the text it was stored as, so that no
 * number loses a digit; only its line breaks, which are white space, become blanks, so that an event is always one line.
 */
function renderColumns(
  stream: string,
  head: Pick<StreamHead, 'identity' | 'epoch'>,
  events: EventColumns,
  count: number,
  separator: number,
): Buffer {
  const { orderTimes, eventTimes, seqs } = events;
  const out = Buffer.allocUnsafeSlow(mostBytes(stream, events));
  const labels = labelsOf(stream);
  const writeCursor = createCursorWriter(head.identity, head.epoch);
  const writeTimes = createTimesWriter([
    { name: 'occurredAt', times: events.occurredAts },
    { name: 'sentAt', times: events.sentAts },
    { name: 'receivedAt', times: events.receivedAts },
    { name: 'eventTime', times: eventTimes },
    { name: 'orderTime', times: orderTimes },
  ]);
  const ids = arrayOf(events.ids);
  const names = arrayOf(events.names);
  const keys = arrayOf(events.keys);
  const props = unbroken(events.props);
  let propsAt = 0;
  let moreAt = 0;
  let at = 0;

  for (let index = 0; index < count; index++) {
    at = put(out, at, labels.id);
    at = putNext(out, at, ids);
    at = put(out, at, labels.name);
    at = putNext(out, at, names);
    at = put(out, at, labels.key);
    at = putNext(out, at, keys);
    at = put(out, at, labels.props);
    const propsEnd = endOf(props, propsAt);
    at += props.copy(out, at, propsAt, propsEnd);
    propsAt = propsEnd + 1;

    at = writeTimes(out, at, index);
    const lateByMs = millisecondsAfter(orderTimes, eventTimes, index);
    if (lateByMs > 0) {
      at = put(out, at, labels.late);
      at += out.write(String(lateByMs), at, 'latin1');
    } else {
      at = put(out, at, labels.onTime);
    }
    at = put(out, at, labels.timeQualities[(events.timeQualities[index] ?? 0) - digitZero] ?? labels.ok);
    const moreEnd = endOf(events.more, moreAt);
    at += events.more.copy(out, at, moreAt, moreEnd);
    moreAt = moreEnd + 1;
    at = put(out, at, labels.cursor);
    at = writeCursor(
      out,
      at,
      orderTimes[index * 2] ?? 0,
      orderTimes[index * 2 + 1] ?? 0,
      seqs[index * 2] ?? 0,
      seqs[index * 2 + 1] ?? 0,
    );
    out[at++] = quote;
    out[at++] = brace;
    out[at++] = separator;
  }
  return out.subarray(0, at);
}

/** What stands between the values of every event of a stream. */
function labelsOf(stream: string) {
  const label = (text: string) => Buffer.from(text, 'latin1');
  const quality = (name: string) => label(`,"timeQuality":"${name}"`);
  return {
    id: label('{"id":'),
    name: label(`,"stream":"${stream}","name":`),
    key: label(',"key":'),
    props: label(',"props":'),
    onTime: label(',"late":false,"lateByMs":0'),
    late: label(',"late":true,"lateByMs":'),
    timeQualities: timeQualities.map(quality),
    cursor: label(',"cursor":"'),
    ok: quality('ok'),
  };
}

/** Enough for all that is not copied: labels, five times, milliseconds and a cursor. */
function mostBytes(stream: string, events: EventColumns): number {
  const copied =
    events.ids.length + events.names.length + events.keys.length + events.props.length + events.more.length;
  return copied + events.count * (300 + stream.length + 5 * 29 + cursorLength);
}

function put(out: Buffer, at: number, label: Buffer): number {
  for (let index = 0; index < label.length; index++) out[at + index] = label[index] ?? 0;
  return at + label.length;
}

/** A JSON array of strings and nulls as Postgres writes it, and where its next element begins. */
interface JsonArray {
  readonly bytes: Buffer;
  at: number;
}

function arrayOf(bytes: Buffer): JsonArray {
  return { bytes, at: 1 };
}

/** Copies the next element as it is: a JSON string needs nothing to be one. */
function putNext(out: Buffer, start: number, array: JsonArray): number {
  const { bytes } = array;
  let from = array.at;
  let at = start;
  if (bytes[from] === quote) {
    out[at++] = quote;
    for (let byte = bytes[++from]; byte !== quote; byte = bytes[++from]) {
      if (byte === undefined) throw new Error('A column of texts ends too early');
      out[at++] = byte;
      if (byte === backslash) out[at++] = bytes[++from] ?? 0;
    }
    out[at++] = quote;
    from += 1;
  } else {
    at = put(out, at, nullText);
    from += nullText.length;
  }
  // A comma and a blank.
  array.at = from + 2;
  return at;
}

/** Of the text that begins there. */
function endOf(texts: Buffer, at: number): number {
  const separated = texts.indexOf(textSeparator, at);
  return separated === -1 ? texts.length : separated;
}

function unbroken(props: Buffer): Buffer {
  for (const lineBreak of [lineFeed, carriageReturn]) {
    for (let at = props.indexOf(lineBreak); at !== -1; at = props.indexOf(lineBreak, at + 1))
      props[at] = blank;
  }
  return props;
}

const nullText = Buffer.from('null');
const [lineFeed, carriageReturn, blank, quote, comma, digitZero, backslash, brace] = [
  0x0a, 0x0d, 0x20, 0x22, 0x2c, 0x30, 0x5c, 0x7d,
];
