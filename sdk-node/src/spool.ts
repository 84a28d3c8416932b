import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { KeptEvent, Store } from '@tidemark/core';
import { endLineOf, lineOf, openSegment, type Segment, writeSegmentNow } from './segment.ts';
import { heldName } from './spool-lock.ts';

/**
 * Events on disk. Each client has a folder of its own under the spool's, with files that are only appended to; a file is removed when all
 * of its events have met their end. Folders that nobody holds are taken over, file by file (adopt.ts).
 */
export interface Spool extends Store {
  /** This client's folder. */
  readonly folder: string;
  /**
   * Takes over a file of another client. The function it returns is told this client's sequence numbers of events in it, with those in the
   * file, and at last that these were all.
   */
  link(segment: Segment): (locals: ReadonlyMap<number, number>, isLast: boolean) => void;
  /** Bytes of files that are there but not linked yet. */
  reserve(bytes: number): void;
  /** Resolves when what was noted and removed so far is so on disk. */
  settled(): Promise<unknown>;
  /** Removes the folder, before it returns, where nothing is left in it. Never throws. */
  tidy(): void;
  /** Closes the files, and removes the folder where nothing is left in it. */
  close(): Promise<void>;
}

interface File {
  readonly segment: Segment;
  /** How many of its events live. */
  live: number;
  /** There are events in it that are not counted yet. */
  unread: boolean;
}

/** Where an event is, and its number there. */
interface Place {
  readonly file: File;
  readonly local: number;
}

/** A file is full at this size; smaller ones are removed sooner. */
const segmentBytesMax = 4 * 1_048_576;

/** @throws what `mkdir` throws, where the folder cannot be made. */
export function createSpool(spoolDir: string, spoolBytesMax: number): Spool {
  const name = randomBytes(8).toString('hex');
  const folder = join(spoolDir, name);
  mkdirSync(folder, { recursive: true });
  const places = new Map<number, Place>();
  const files = new Set<File>();
  const removals = new Set<Promise<void>>();
  let current: File | undefined;
  let made = 0;
  let reservedBytes = 0;

  return {
    folder,
    save,
    saveNow,
    remove,
    link(segment) {
      const file = { segment, live: 0, unread: true };
      files.add(file);
      return (locals, isLast) => {
        for (const [sequence, local] of locals) put(sequence, { file, local });
        file.unread = !isLast;
        if (isLast && file.live === 0) drop(file);
      };
    },
    reserve(bytes) {
      reservedBytes += bytes;
    },
    tidy,
    settled: () => Promise.all([...removals, ...[...files].map(({ segment }) => segment.settled())]),
    async close() {
      await Promise.all([...[...files].map(({ segment }) => segment.close()), ...removals]);
      tidy();
    },
  };

  async function save(events: readonly KeptEvent[]): Promise<number> {
    let kept = 0;
    while (kept < events.length) {
      const lines = linesThatFit(events.slice(kept), Math.min(segmentBytesMax, room()));
      if (lines.length === 0) break;
      const file = openFile();
      const before = events
        .slice(kept, kept + lines.length)
        .flatMap(([sequence]) => put(sequence, { file, local: sequence }) ?? []);
      await file.segment.append(lines.join(''));
      // Only now: a crash in between must find one of the two. In the same file the later line counts.
      leave(before.filter((place) => place.file !== file));
      file.live -= before.filter((place) => place.file === file).length;
      kept += lines.length;
    }
    return kept;
  }

  function tidy(): void {
    try {
      if (readdirSync(folder).some((file) => file !== heldName)) return;
      rmSync(join(folder, heldName), { force: true });
      rmdirSync(folder);
    } catch {
      // Whoever comes next does it.
    }
  }

  function saveNow(events: readonly KeptEvent[]): number {
    const lines = linesThatFit(events, room());
    if (lines.length === 0) return 0;
    try {
      mkdirSync(folder, { recursive: true });
      writeSegmentNow(nextPath(), lines.join(''));
      return lines.length;
    } catch {
      return 0;
    }
  }

  function remove(sequences: readonly number[]): void {
    const gone: Place[] = [];
    for (const sequence of sequences) {
      const place = places.get(sequence);
      if (place !== undefined) gone.push(place);
      places.delete(sequence);
    }
    leave(gone);
  }

  function leave(gone: readonly Place[]): void {
    const ended = new Map<File, number[]>();
    for (const { file, local } of gone) {
      file.live--;
      const locals = ended.get(file);
      if (locals === undefined) ended.set(file, [local]);
      else locals.push(local);
    }
    for (const [file, locals] of ended) {
      if (file.live === 0 && !file.unread) drop(file);
      else file.segment.note(endLineOf(locals));
    }
  }

  /** Answers with where the event was before. */
  function put(sequence: number, place: Place): Place | undefined {
    const before = places.get(sequence);
    places.set(sequence, place);
    place.file.live++;
    return before;
  }

  function drop(file: File): void {
    files.delete(file);
    if (file === current) current = undefined;
    const removal = file.segment
      .remove()
      .catch(() => {})
      .finally(() => removals.delete(removal));
    removals.add(removal);
  }

  function openFile(): File {
    if (current === undefined || current.segment.size() >= segmentBytesMax) {
      current = { segment: openSegment(nextPath()), live: 0, unread: false };
      files.add(current);
    }
    return current;
  }

  function nextPath(): string {
    // Unlike the name of any other client's file: it may be moved.
    return join(folder, `${name}-${String(made++).padStart(6, '0')}.ndjson`);
  }

  function room(): number {
    let used = reservedBytes;
    for (const { segment } of files) used += segment.size();
    return spoolBytesMax - used;
  }
}

/** The first lines that are together no longer than `bytesMax`. */
function linesThatFit(events: readonly KeptEvent[], bytesMax: number): string[] {
  const lines: string[] = [];
  let bytes = 0;
  for (const event of events) {
    const line = lineOf(event);
    bytes += Buffer.byteLength(line);
    if (bytes > bytesMax) break;
    lines.push(line);
  }
  return lines;
}
