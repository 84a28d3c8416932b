import type { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type { Clock } from '../clock.ts';

/** Where a body comes from: a Node request is read by its events, which is several times cheaper than as a web stream. */
export type BodySource = Readable | ReadableStream<Uint8Array> | null;

export interface BodyRequest {
  /** What Content-Length says, or 0. Only a hint: what comes is counted. */
  readonly announcedBytes: number;
  /** Asked for bytes that were not announced, as they come; false ends the reading. */
  readonly reserve: (bytes: number) => boolean;
}

export type BodyReading =
  | { readonly ok: true; readonly bytes: Uint8Array }
  /** Above `bodyBytesMax`; `actual` is what had come by then. */
  | { readonly ok: false; readonly reason: 'tooLarge'; readonly limit: number; readonly actual: number }
  /**
   * `refused`: there was no room for bytes that were not announced. `slow`: the body had not ended at the deadline. `cut`: the
   * connection ended first, so there is nobody to answer.
   */
  | { readonly ok: false; readonly reason: 'refused' | 'slow' | 'cut' };

export interface BodyLimits {
  readonly bodyBytesMax: number;
  /** So long a body may take to arrive. */
  readonly deadlineMs: number;
}

/**
 * Reads the bodies of requests. A body that is refused is left where it is. Its answer leaves at once; the server then throws away what
 * still comes for half a second, and ends the connection if the rest has not come by then. To refuse bodies of 150 kB on connections
 * that are kept took about half of the time, and of the CPU, of client and server that it took on a new connection for each.
 */
export function createBodyReader({ after }: Pick<Clock, 'after'>, { bodyBytesMax, deadlineMs }: BodyLimits) {
  return function readBody(source: BodySource, request: BodyRequest): Promise<BodyReading> {
    if (source === null) return Promise.resolve({ ok: true, bytes: new Uint8Array(0) });
    const bytes = createBytes(Math.min(request.announcedBytes, bodyBytesMax));
    const take = (chunk: Uint8Array): BodyReading | undefined => {
      const before = Math.max(bytes.length, request.announcedBytes);
      const length = bytes.length + chunk.length;
      if (length > bodyBytesMax)
        return { ok: false, reason: 'tooLarge', limit: bodyBytesMax, actual: length };
      if (length > before && !request.reserve(length - before)) return { ok: false, reason: 'refused' };
      bytes.add(chunk);
      return undefined;
    };
    const done = (): BodyReading => ({ ok: true, bytes: bytes.all() });
    const expire = (task: () => void) => after(deadlineMs, task);
    return 'getReader' in source
      ? readStream(source, take, done, expire)
      : readEvents(source, take, done, expire);
  };
}

type Take = (chunk: Uint8Array) => BodyReading | undefined;
type Expire = (task: () => void) => () => void;

function readEvents(
  source: Readable,
  take: Take,
  done: () => BodyReading,
  expire: Expire,
): Promise<BodyReading> {
  return new Promise((resolve) => {
    const onData = (chunk: Uint8Array) => {
      const refusal = take(chunk);
      if (refusal !== undefined) settle(refusal);
    };
    const onEnd = () => settle(done());
    const onCut = () => settle({ ok: false, reason: 'cut' });
    const stopTimer = expire(() => settle({ ok: false, reason: 'slow' }));

    function settle(reading: BodyReading): void {
      stopTimer();
      source.off('data', onData);
      source.off('end', onEnd);
      source.off('close', onCut);
      // The listener for errors stays: one that comes later must not be thrown for want of a listener.
      if (!reading.ok) source.pause();
      resolve(reading);
    }

    source.on('error', onCut);
    source.on('end', onEnd);
    source.on('close', onCut);
    source.on('data', onData);
    if (source.readableEnded) onEnd();
    else if (source.destroyed) onCut();
  });
}

async function readStream(
  source: ReadableStream<Uint8Array>,
  take: Take,
  done: () => BodyReading,
  expire: Expire,
): Promise<BodyReading> {
  const reader = source.getReader();
  let slow = false;
  const stop = () => void reader.cancel().catch(() => {});
  const stopTimer = expire(() => {
    slow = true;
    stop();
  });
  try {
    for (;;) {
      // Chunks are what is waited for: there is nothing to do at the same time.
      // oxlint-disable-next-line no-await-in-loop
      const { done: ended, value } = await reader.read();
      if (slow) return { ok: false, reason: 'slow' };
      if (ended) return done();
      const refusal = take(value);
      if (refusal === undefined) continue;
      stop();
      return refusal;
    }
  } catch {
    return { ok: false, reason: 'cut' };
  } finally {
    stopTimer();
  }
}

/**
 * Collects chunks. One chunk is the usual case and is kept as it is; more are copied into one buffer, so that a body sent byte
 * by byte does not cost an object for each.
 */
function createBytes(expected: number) {
  let buffer: Uint8Array = new Uint8Array(0);
  let length = 0;

  return {
    get length() {
      return length;
    },
    add(chunk: Uint8Array): void {
      const needed = length + chunk.length;
      if (length === 0) buffer = chunk;
      else {
        if (needed > buffer.length) grow(needed <= expected ? expected : needed * 2);
        buffer.set(chunk, length);
      }
      length = needed;
    },
    all: () => buffer.subarray(0, length),
  };

  function grow(capacity: number): void {
    const larger = Buffer.allocUnsafeSlow(capacity);
    larger.set(buffer.subarray(0, length));
    buffer = larger;
  }
}
