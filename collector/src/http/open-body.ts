import type { Clock } from '../clock.ts';

export interface OpenBodyOptions {
  readonly clock: Pick<Clock, 'after'>;
  /**
   * So long a piece may wait to be taken by the socket, milliseconds, and the body to be asked for at all: a reader that stands still is let
   * go, and so is a body that nobody reads.
   */
  readonly stallMs: number;
  /** Called once, when the body has ended in whatever way. */
  readonly onEnd: () => void;
}

/**
 * A body that is made while it is read: the next piece is asked for when the socket has taken the one before, so that a reader costs one
 * piece of memory however slow it is. `pieces` gets a signal that is aborted when nobody reads any more.
 */
export function openBody(
  pieces: (signal: AbortSignal) => AsyncGenerator<string | Uint8Array>,
  { clock, stallMs, onEnd }: OpenBodyOptions,
): ReadableStream<Uint8Array> {
  const gone = new AbortController();
  const source = pieces(gone.signal);
  const encoder = new TextEncoder();
  let stopTimer = (): void => {};
  let ended = false;

  function end(): void {
    stopTimer();
    if (ended) return;
    ended = true;
    gone.abort();
    // A generator that waits sees the signal, and ends by itself.
    source.return(undefined).catch(() => undefined);
    onEnd();
  }

  stopTimer = clock.after(stallMs, end);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        stopTimer();
        try {
          const { done, value } = await source.next();
          if (ended) return;
          if (done === true) {
            controller.close();
            end();
            return;
          }
          controller.enqueue(typeof value === 'string' ? encoder.encode(value) : value);
          stopTimer = clock.after(stallMs, () => {
            controller.error(new Error('The reader took nothing for too long'));
            end();
          });
        } catch (error) {
          controller.error(error);
          end();
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
