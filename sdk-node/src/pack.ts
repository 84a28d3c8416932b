import type { Batch, QueuedEvent } from '@tidemark/core';

/** Events outside of the JavaScript heap; place by place. */
interface PackedEvents {
  readonly firstSequence: number;
  /** The texts, one after the other, and where each ends. */
  readonly texts: Buffer;
  readonly ends: Uint32Array;
  readonly queuedAt: Float64Array;
  readonly stamped: Uint8Array;
}

/** The first batches of a long queue may be needed at once. */
const batchesUnpacked = 3;

/**
 * Events that wait in a long queue, in a third less memory; and a burst does not make the garbage collector copy every event twice. They
 * come back as often as they are asked for.
 */
export function packBatch(batch: Batch, batches: number): void {
  if (batches <= batchesUnpacked || !batch.members.every(isPlain)) return;
  // A closure made here would hold on to the events.
  Object.defineProperty(batch, 'members', unpackLater(pack(batch.members)));
}

/** Never sent, and numbered without a gap. */
function isPlain({ sequence, triedAt }: QueuedEvent, index: number, events: readonly QueuedEvent[]): boolean {
  return triedAt === undefined && sequence === (events[0]?.sequence ?? 0) + index;
}

function pack(events: readonly QueuedEvent[]): PackedEvents {
  const packed = {
    firstSequence: events[0]?.sequence ?? 0,
    texts: Buffer.allocUnsafeSlow(events.reduce((sum, { bytes }) => sum + bytes, 0)),
    ends: new Uint32Array(events.length),
    queuedAt: new Float64Array(events.length),
    stamped: new Uint8Array(events.length),
  };
  let end = 0;
  for (const [index, event] of events.entries()) {
    end += packed.texts.write(event.json, end);
    packed.ends[index] = end;
    packed.queuedAt[index] = event.queuedAt;
    packed.stamped[index] = event.stamped ? 1 : 0;
  }
  return packed;
}

function unpackLater({ firstSequence, texts, ends, queuedAt, stamped }: PackedEvents): PropertyDescriptor {
  return {
    configurable: true,
    get: () =>
      Array.from(ends, (end, index): QueuedEvent => {
        const start = ends[index - 1] ?? 0;
        return {
          sequence: firstSequence + index,
          json: texts.toString('utf8', start, end),
          bytes: end - start,
          queuedAt: queuedAt[index] ?? 0,
          stamped: stamped[index] === 1,
          triedAt: undefined,
        };
      }),
    set(this: Batch, events: QueuedEvent[]) {
      Object.defineProperty(this, 'members', { value: events, writable: true, configurable: true });
    },
  };
}
