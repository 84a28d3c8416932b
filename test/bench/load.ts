import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createUuidv7 } from '../../collector/src/ingest/uuidv7.ts';
import { createRandom, type Random } from '../harness/seed.ts';

/** Batches that were built beforehand: about 300 bytes an event, as a shop's page views and orders might be. */
export interface Load {
  readonly stream: string;
  /** A request body each. */
  readonly bodies: readonly Buffer[];
  readonly eventsPerBatch: number;
  readonly events: number;
  readonly bytesPerEvent: number;
}

export interface LoadOptions {
  readonly batches: number;
  readonly eventsPerBatch: number;
  /** When the first event happened, milliseconds; the events of a batch spread over a second. */
  readonly startMs: number;
  /** How much later each batch is than the one before; a millisecond, if left out. */
  readonly apartMs?: number;
  /** `bench`, if left out. */
  readonly stream?: string;
}

export function makeLoad({
  batches,
  eventsPerBatch,
  startMs,
  apartMs = 1,
  stream = 'bench',
}: LoadOptions): Load {
  const random = createRandom();
  const bodies = Array.from({ length: batches }, (_, batch) => {
    const sentMs = startMs + batch * apartMs + 1_000;
    // Each batch comes from another client, with ids of its own making.
    const newId = createUuidv7((count) => randomBytes(count));
    const events = Array.from({ length: eventsPerBatch }, (_, at) =>
      makeEvent(random, newId, sentMs - 1_000 + Math.floor((at / eventsPerBatch) * 1_000), { stream, batch }),
    );
    return Buffer.from(
      JSON.stringify({ sentAt: new Date(sentMs).toISOString(), clock: { offsetMs: 0, rttMs: 0 }, events }),
    );
  });
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  const events = batches * eventsPerBatch;
  return { stream, bodies, eventsPerBatch, events, bytesPerEvent: Math.round(bytes / events) };
}

/** A body a line, for a process that sends them. */
export async function writeLoad({ bodies }: Load, file: string): Promise<void> {
  const newline = Buffer.from('\n');
  await writeFile(file, Buffer.concat(bodies.flatMap((body) => [body, newline])));
}

function makeEvent(
  random: Random,
  newId: (ms: number) => string,
  ms: number,
  { stream, batch }: { readonly stream: string; readonly batch: number },
): object {
  const product = 1_000 + random.below(9_000);
  return {
    id: newId(ms),
    stream,
    name: random.oneOf(['page.viewed', 'product.viewed', 'cart.changed', 'order.placed']),
    key: `user-${random.below(100_000)}`,
    occurredAt: new Date(ms).toISOString(),
    props: {
      batch,
      path: `/products/${product}`,
      referrer: `https://www.example.com/search?q=${random.oneOf(['shoes', 'rain+coat', 'küche', 'lamps'])}`,
      price: random.below(100_000) / 100,
      durationMs: random.below(60_000),
      tags: [random.oneOf(['new', 'sale', 'last']), `s${random.below(50)}`],
    },
  };
}
