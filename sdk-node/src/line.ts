import type { Line, QueuedEvent } from '@tidemark/core';
import { packEvents } from './pack.ts';

/** Events are kept in chunks: one long array would be copied as it grows, and again as it is used up. */
const chunkEvents = 1_024;

/** A long line's chunks are packed, but for so many, which may be needed at once. */
const chunksUnpacked = 4;

type Chunk = QueuedEvent[] | (() => QueuedEvent[]);

/** A line that may grow long. */
export function createLine(): Line {
  const full: Chunk[] = [];
  let last: QueuedEvent[] = [];
  /** Events of the first chunk that are gone. */
  let gone = 0;

  return {
    push(event) {
      if (last.length === chunkEvents) {
        full.push(full.length >= chunksUnpacked ? packEvents(last) : last);
        last = [];
      }
      last.push(event);
    },
    at: () => firstChunk()[gone],
    shift() {
      const chunk = firstChunk();
      const event = chunk[gone];
      if (event && ++gone === chunk.length) {
        if (!full.shift()) last = [];
        gone = 0;
      }
      return event;
    },
    slice: () => [...full.flatMap(unpacked), ...last].slice(gone),
  };

  function firstChunk(): QueuedEvent[] {
    const [first] = full;
    if (!first) return last;
    const chunk = unpacked(first);
    full[0] = chunk;
    return chunk;
  }
}

function unpacked(chunk: Chunk): QueuedEvent[] {
  return typeof chunk === 'function' ? chunk() : chunk;
}
