/**
 * The functions of the fence, transcribed from the SQL: what each reads and writes in one transaction that holds the fence row
 * (`raiseFloor`, `publish`, `changeDelay`), and the two formulas (`watermark`, `orderTime`). Each is one atomic step for
 * everybody else, because its transaction becomes visible at once and the fence row lets one through at a time.
 */

export type Fence = { readonly floor: number; readonly published: number; readonly lastClock: number };

export type Stream = {
  readonly delay: number;
  readonly orderFloor: number;
  /** Where the watermark stands still, or undefined while it moves with the fence. */
  readonly held: number | undefined;
  /** Counts the holds. */
  readonly hold: number;
};

/** A stream whose captured holders are gone: `floor` was raised before that capture, `hold` is the hold it may end. */
export type Drained = { readonly floor: number; readonly hold: number };

export type Publication = {
  readonly fence: Fence;
  readonly streams: readonly Stream[];
  /** By stream: this very publication placed the hold. */
  readonly placed: readonly boolean[];
};

/** The jump of the clock that is not taken on its word, and the most time that a raise believes to have passed. */
type RaiseLimits = { readonly jump: number; readonly passed: number };

/** A minute and two seconds, in a model where the clock counts to ten. */
const smallLimits: RaiseLimits = { jump: 6, passed: 4 };

export function watermark(stream: Stream, published: number): number {
  return stream.held ?? Math.max(published - stream.delay, stream.orderFloor);
}

export function orderTime(eventTime: number, arrival: number, stream: Stream): number {
  return Math.max(Math.min(eventTime, arrival), arrival - stream.delay, stream.orderFloor);
}

export function raiseFloor(fence: Fence, now: number, witness: number, limits = smallLimits): Fence {
  const passed = Math.min(Math.max(now - fence.lastClock, 0), limits.passed);
  const contradicted = now - fence.floor > limits.jump && now - witness > limits.jump;
  const raised =
    now < fence.floor
      ? fence.floor + Math.floor(passed / 2)
      : contradicted
        ? Math.min(now, Math.max(fence.floor + passed * 2, witness))
        : now;
  return { ...fence, floor: Math.max(fence.floor, raised), lastClock: now };
}

/** `slow` and `drained` are by stream. */
export function publish(
  fence: Fence,
  streams: readonly Stream[],
  raised: number,
  slow: readonly boolean[],
  drained: readonly (Drained | undefined)[],
): Publication {
  const published = Math.max(fence.published, raised);
  const placed = streams.map((stream, number) => slow[number] === true && stream.held === undefined);
  const withHolds = streams.map((stream, number) =>
    placed[number] ? { ...stream, held: watermark(stream, fence.published), hold: stream.hold + 1 } : stream,
  );
  const withoutDrained = withHolds.map((stream, number) => {
    const entry = drained[number];
    if (entry === undefined || entry.hold !== stream.hold || stream.held === undefined) return stream;
    if (entry.floor >= published) return { ...stream, held: undefined };
    return { ...stream, held: Math.max(stream.held, entry.floor - stream.delay, stream.orderFloor) };
  });
  return { fence: { ...fence, published }, streams: withoutDrained, placed };
}

export function changeDelay(fence: Fence, stream: Stream, delay: number): Stream {
  if (stream.delay === delay) return stream;
  const reached = watermark(stream, fence.published);
  return {
    delay,
    orderFloor: Math.max(stream.orderFloor, reached, fence.floor - stream.delay),
    held: reached,
    hold: stream.hold + 1,
  };
}
