import { closeSync, fsyncSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { type FileHandle, open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { KeptEvent } from '@tidemark/core';

/**
 * One file of the spool. Lines, and the last one on an event counts:
 *
 *     17 1767225600000 - {"occurredAt":…}      the event 17, queued then, never sent
 *     17 1767225600000 1767225601000 {…}       the same, first sent then
 *     -17,18                                   17 and 18 met their end
 *
 * A line that was cut by a crash is skipped: what it said was never acknowledged to anybody.
 */
export interface Segment {
  readonly path: string;
  /** Length of the file, in bytes. */
  readonly size: () => number;
  /** Durable when it resolves. */
  append(lines: string): Promise<void>;
  /** Not waited for, and lost in a crash: the events come back and are duplicates. */
  note(lines: string): void;
  /** Removes the file. */
  remove(): Promise<void>;
  /** Resolves when all that was asked for so far is done. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

export function openSegment(path: string, initialSize = 0): Segment {
  let size = initialSize;
  let file: Promise<FileHandle> | undefined;
  /** Calls take effect one after the other. */
  let last: Promise<unknown> = Promise.resolve();
  let removed = false;

  return {
    path,
    size: () => size,
    append: (lines) => write(lines, true),
    note(lines) {
      write(lines, false).catch(() => {});
    },
    remove() {
      removed = true;
      return queue(async () => {
        await (await file)?.close();
        file = undefined;
        await unlink(path).catch(() => {});
      });
    },
    settled: () => queue(() => Promise.resolve()),
    close: () =>
      queue(async () => {
        await (await file)?.close();
        file = undefined;
      }),
  };

  function write(lines: string, durable: boolean): Promise<void> {
    size += Buffer.byteLength(lines);
    return queue(async () => {
      if (removed) return;
      file ??= create(path);
      const handle = await file;
      await handle.appendFile(lines);
      if (durable) await handle.datasync();
    });
  }

  function queue(task: () => Promise<void>): Promise<void> {
    const done = last.then(task);
    last = done.catch(() => {});
    return done;
  }
}

/** A new file survives a power cut only when its folder was written as well. */
async function create(path: string): Promise<FileHandle> {
  const file = await open(path, 'a');
  const folder = await open(dirname(path), 'r').catch(() => undefined);
  // Where folders cannot be synchronised (Windows), the file system sees to it.
  await folder?.sync().catch(() => {});
  await folder?.close();
  return file;
}

/** The same at once, into a file of its own: the process is about to end. All of it, or nothing and an error. */
export function writeSegmentNow(path: string, lines: string): void {
  const file = openSync(path, 'a');
  try {
    writeFileSync(file, lines);
    fsyncSync(file);
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
}

export function lineOf([sequence, text, queuedAtMs, triedAtMs]: KeptEvent): string {
  const tried = triedAtMs === undefined ? '-' : Math.round(triedAtMs);
  return `${sequence} ${Math.round(queuedAtMs)} ${tried} ${text}\n`;
}

export function endLineOf(sequences: readonly number[]): string {
  return `-${sequences.join()}\n`;
}

const linePattern = /^(\d+) (\d+) (-|\d+) (\{.*\})$/s;

/** What a file says of its events: those that live, in the order they were first named. */
export async function readSegment(path: string): Promise<{ events: KeptEvent[]; size: number }> {
  const content = await readFile(path);
  const events = new Map<number, KeptEvent>();
  for (const line of content.toString('utf8').split('\n')) {
    if (line.startsWith('-'))
      for (const sequence of line.slice(1).split(',')) events.delete(Number(sequence));
    const [, sequence, queuedAt, tried, text] = linePattern.exec(line) ?? [];
    if (text === undefined || !isJson(text)) continue;
    const kept = [Number(sequence), text, Number(queuedAt)] as const;
    events.set(kept[0], tried === '-' ? kept : [...kept, Number(tried)]);
  }
  return { events: [...events.values()], size: content.length };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
