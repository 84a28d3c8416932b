import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { AskParts } from '../ask.ts';
import type { BadRecords } from './bad-records.ts';
import { createFormat, type Mapping, type ToEvent } from './import-format.ts';
import { openInput } from './import-input.ts';
import { type ImportedEvent, sendBatch } from './import-send.ts';
import type { ImportState } from './import-state.ts';
import type { Progress, Tally } from './progress.ts';
import { type InputRecord, splitRecords } from './records.ts';

/**
 * One input into a stream: bytes, records, events, batches, answers. One batch is on its way while the next is made, so what is in
 * memory is bounded by two of them and the longest record.
 *
 * An event's id is made of its record, of the place where that stands, and of how the input begins. So the same input gives the same ids,
 * and whatever is sent again, after a crash or by another run, is stored once.
 */
export interface ImportWork {
  readonly parts: AskParts;
  readonly mapping: Mapping;
  readonly state: ImportState;
  readonly bad: BadRecords;
  /** Counts over all inputs. */
  readonly tally: Tally;
  readonly progress: Progress;
  readonly stop: AbortSignal;
  readonly stdin: Readable;
  /** What stands for the beginning of the input. */
  readonly source: string | undefined;
  readonly batchEvents: number;
}

const recordBytesMax = 1_048_576;
const batchBytesMax = 524_288;
const stateMs = 1_000;

export async function importInput(path: string, work: ImportWork): Promise<void> {
  const { mapping, state, bad, tally, progress, stop, batchEvents } = work;
  const input = await openInput(path, work.stdin, stop);
  const isCsv = mapping.format === 'csv';
  const split = { recordBytesMax, delimiter: isCsv ? mapping.delimiter : undefined };
  let reading: Reading | undefined;
  let header: InputRecord | undefined;
  let batch: ImportedEvent[] = [];
  let batchBytes = 0;
  let end = 0;
  let savedMs = performance.now();
  let sending: Promise<boolean> = Promise.resolve(true);

  async function setAside(record: InputRecord, reason: string): Promise<void> {
    tally.bad += 1;
    await bad.add(path, record, reason);
  }

  /** False: it was stopped before there was an answer. */
  async function deliver(events: readonly ImportedEvent[], upTo: number, source: string): Promise<boolean> {
    const sent = events.length === 0 ? nothing : await sendBatch(work.parts, events, stop);
    if (sent === undefined) return false;
    tally.stored += sent.stored;
    tally.present += sent.present;
    for (const { record, reason } of sent.refused) await setAside(record, reason);
    progress.show(path, input.bytesRead(), input.bytesTotal, tally);
    if (performance.now() - savedMs >= stateMs) {
      savedMs = performance.now();
      await state.save(source, upTo);
    }
    return true;
  }

  /** False: nothing more goes. */
  async function ship(source: string): Promise<boolean> {
    const events = batch;
    batch = [];
    batchBytes = 0;
    const upTo = end;
    if (!(await sending)) return false;
    sending = deliver(events, upTo, source);
    // Whoever waits for it next is told.
    sending.catch(() => {});
    return true;
  }

  try {
    for await (const record of splitRecords(input.chunks, split)) {
      if (stop.aborted) return;
      if (isCsv && header === undefined) {
        header = record;
        end = record.end;
        continue;
      }
      reading ??= begin(record, header, work);
      end = record.end;
      if (record.end <= reading.reached || isBlank(record)) continue;
      const made = reading.toEvent(record);
      if ('mistake' in made) {
        await setAside(record, made.mistake);
        continue;
      }
      batch.push({ record, event: made.event });
      batchBytes += made.event.length;
      if (batch.length < batchEvents && batchBytes < batchBytesMax) continue;
      if (!(await ship(reading.source))) return;
    }
    if (reading === undefined || stop.aborted) return;
    if ((await ship(reading.source)) && (await sending))
      await state.save(reading.source, Math.max(end, reading.reached));
  } finally {
    await sending.catch(() => false);
  }
}

interface Reading {
  readonly source: string;
  /** What an earlier run has done. */
  readonly reached: number;
  toEvent(record: InputRecord): ReturnType<ToEvent>;
}

const nothing = { stored: 0, present: 0, refused: [] } as const;

/** With the first record, in CSV the first after the header. */
function begin(first: InputRecord, header: InputRecord | undefined, work: ImportWork): Reading {
  const beginning = Buffer.concat([header?.bytes ?? Buffer.alloc(0), first.bytes]);
  const source = work.source ?? createHash('sha256').update(beginning).digest('hex').slice(0, 32);
  const toText = work.mapping.format === 'csv' && header !== undefined ? textOf(header) : '';
  const format = createFormat(work.mapping, toText);
  return {
    source,
    reached: work.state.reached(source),
    toEvent(record) {
      if (record.tooLong) return { mistake: `longer than ${recordBytesMax} bytes` };
      const text = textOf(record);
      if (text === undefined) return { mistake: 'not UTF-8' };
      return format(text, idOf(source, record));
    },
  };
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Undefined: it is not UTF-8. A byte order mark at the beginning of the input is left out. */
function textOf({ bytes, start }: InputRecord): string | undefined {
  try {
    const text = decoder.decode(bytes);
    return start === 0 && text.startsWith('\uFEFF') ? text.slice(1) : text;
  } catch {
    return undefined;
  }
}

/** In the form of a UUID (version 8: custom), which the collector keeps in sixteen bytes. */
function idOf(source: string, { start, bytes }: InputRecord): string {
  const digest = createHash('sha256').update(`${source}\n${start}\n`).update(bytes).digest();
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x80;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  const hex = digest.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function isBlank({ bytes, tooLong }: InputRecord): boolean {
  return !tooLong && bytes.every((byte) => byte === 0x20 || byte === 0x09);
}
