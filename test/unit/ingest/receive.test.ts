import { EventEmitter } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type BodyReading,
  type BodySource,
  createBodyReader,
} from '../../../collector/src/ingest/receive.ts';

/** A timer that rings when it is told to. */
function createBell() {
  const events = new EventEmitter();
  return {
    after(ms: number, task: () => void) {
      events.once('ring', () => task());
      expect(ms).toBe(5_000);
      return () => events.removeAllListeners();
    },
    ring: () => events.emit('ring'),
    get waiting() {
      return events.listenerCount('ring') > 0;
    },
  };
}

/** The two kinds of sources, each sending the chunks and then, if it is to end, the end. */
const sources: Record<string, (chunks: readonly Uint8Array[], end?: 'end' | 'cut') => BodySource> = {
  'a Node request'(chunks, end = 'end') {
    const source = new PassThrough();
    for (const chunk of chunks) source.write(chunk);
    if (end === 'end') source.end();
    return source;
  },
  'a web stream'(chunks, end = 'end') {
    let sent = 0;
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        const chunk = chunks[sent++];
        if (chunk !== undefined) controller.enqueue(chunk);
        else if (end === 'end') controller.close();
        else return new Promise(() => {});
        return undefined;
      },
    });
  },
};

function read(
  source: BodySource,
  { announcedBytes = 0, room = Number.POSITIVE_INFINITY, bodyBytesMax = 1_000, bell = createBell() } = {},
): { reading: Promise<BodyReading>; reserved: number[]; bell: ReturnType<typeof createBell> } {
  const reserved: number[] = [];
  const readBody = createBodyReader(bell, { bodyBytesMax, deadlineMs: 5_000 });
  const reserve = (bytes: number) => {
    reserved.push(bytes);
    return reserved.reduce((sum, part) => sum + part, 0) <= room;
  };
  return { reading: readBody(source, { announcedBytes, reserve }), reserved, bell };
}

const part = (length: number, value = 7) => new Uint8Array(length).fill(value);

describe.each(Object.entries(sources))('reading the body of %s', (_, send) => {
  test('gives its bytes, however they come', async () => {
    const parts = fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(parts, fc.nat(5_000), async (chunks, announcedBytes) => {
        const { reading } = read(send(chunks), { bodyBytesMax: 10_000, announcedBytes });
        const result = await reading;
        expect(result.ok && Buffer.from(result.bytes).equals(Buffer.concat(chunks))).toBe(true);
      }),
    );
  });

  test('does not copy a body that comes in one piece', async () => {
    const chunk = part(500);
    const result = await read(send([chunk])).reading;
    expect(result.ok && result.bytes.buffer === chunk.buffer).toBe(true);
  });

  test('asks for room only for what was not announced', async () => {
    const unannounced = read(send([part(100), part(50)]));
    await unannounced.reading;
    expect(unannounced.reserved).toEqual([100, 50]);
    const announced = read(send([part(100), part(50)]), { announcedBytes: 150 });
    await announced.reading;
    expect(announced.reserved).toEqual([]);
    const understated = read(send([part(100), part(50), part(5)]), { announcedBytes: 120 });
    await understated.reading;
    expect(understated.reserved).toEqual([30, 5]);
  });

  test('ends as refused when there is no room', async () => {
    const { reading, bell } = read(send([part(100), part(50)], 'cut'), { room: 120 });
    expect(await reading).toEqual({ ok: false, reason: 'refused' });
    expect(bell.waiting).toBe(false);
  });

  test('ends at the limit, without waiting for the rest', async () => {
    const { reading, bell } = read(send([part(600), part(400), part(1)], 'cut'));
    expect(await reading).toEqual({ ok: false, reason: 'tooLarge', limit: 1_000, actual: 1_001 });
    expect(bell.waiting).toBe(false);
    expect((await read(send([part(600), part(400)])).reading).ok).toBe(true);
  });

  test('ends at the deadline', async () => {
    const { reading, bell } = read(send([part(10)], 'cut'));
    bell.ring();
    expect(await reading).toEqual({ ok: false, reason: 'slow' });
  });

  test('leaves no timer behind', async () => {
    const { reading, bell } = read(send([part(10)]));
    expect(bell.waiting).toBe(true);
    await reading;
    expect(bell.waiting).toBe(false);
  });

  test('R2 costs one buffer when it comes byte by byte', async () => {
    const chunks = Array.from({ length: 5_000 }, (__, value) => part(1, value));
    const result = await read(send(chunks), { bodyBytesMax: 5_000 }).reading;
    expect(result.ok && Buffer.from(result.bytes).equals(Buffer.concat(chunks))).toBe(true);
    expect(result.ok && result.bytes.buffer.byteLength).toBeLessThanOrEqual(10_000);
  });
});

describe('a connection that ends before the body', () => {
  test('is told from a body, for a Node request', async () => {
    const source = new PassThrough();
    source.write(part(10));
    const { reading, bell } = read(source);
    source.destroy();
    expect(await reading).toEqual({ ok: false, reason: 'cut' });
    expect(bell.waiting).toBe(false);
  });

  test('even with an error, also one that comes after the answer', async () => {
    const source = new PassThrough();
    const { reading } = read(source, { room: 0 });
    source.write(part(10));
    expect(await reading).toEqual({ ok: false, reason: 'refused' });
    source.destroy(new Error('ECONNRESET'));
    const other = new PassThrough();
    const second = read(other);
    other.destroy(new Error('ECONNRESET'));
    expect(await second.reading).toEqual({ ok: false, reason: 'cut' });
  });

  test('also if it ended before anyone read', async () => {
    const source = new PassThrough();
    source.destroy();
    await new Promise((resolve) => source.once('close', resolve));
    expect(await read(source).reading).toEqual({ ok: false, reason: 'cut' });
  });

  test('for a web stream', async () => {
    const source = new ReadableStream<Uint8Array>({
      start: (controller) => controller.error(new Error('reset')),
    });
    expect(await read(source).reading).toEqual({ ok: false, reason: 'cut' });
  });
});

test('a request without a body has an empty one', async () => {
  expect(await read(null).reading).toEqual({ ok: true, bytes: new Uint8Array(0) });
  expect(await read(Readable.from([])).reading).toEqual({ ok: true, bytes: new Uint8Array(0) });
});
