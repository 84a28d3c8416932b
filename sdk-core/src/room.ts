import type { QueueLimits } from './queue.ts';

/**
 * Backpressure for callers that can wait. From seven eighths of the queue on there is a promise to wait for; the last eighth takes what
 * many callers add at once before each of them waits. It is the same promise for all, and it settles when the queue is below the mark
 * again, or after `waitMsMax`.
 */
export interface Room {
  /** undefined: go on. Otherwise go on when it resolves. It never rejects. */
  wait(): Promise<void> | undefined;
  /** Call when room was made. */
  look(): void;
  /** Lets all go on. */
  open(): void;
}

export function createRoom(
  held: { readonly events: number; readonly bytes: number },
  { queueEventsMax, queueBytesMax }: QueueLimits,
  waitMsMax: number,
  after: (delayMs: number, run: () => void) => () => void,
): Room {
  const eventsMark = (queueEventsMax * 7) / 8;
  const bytesMark = (queueBytesMax * 7) / 8;
  let promise: Promise<void> | undefined;
  let open = (): void => {};

  return {
    wait() {
      if (!crowded()) return undefined;
      promise ??= new Promise((resolve) => {
        const cancel = after(waitMsMax, () => open());
        open = () => {
          cancel();
          promise = undefined;
          resolve();
        };
      });
      return promise;
    },
    look() {
      if (promise !== undefined && !crowded()) open();
    },
    open: () => open(),
  };

  function crowded(): boolean {
    return held.events >= eventsMark || held.bytes >= bytesMark;
  }
}
