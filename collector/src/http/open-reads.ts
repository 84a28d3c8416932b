import type { Clock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';

/** Counts a read as open, and gives what ends that. Throws `overloaded` where one more would be too many. */
export type OpenRead = () => () => void;

/** One count for all routes that may keep a request for a while. */
export function createOpenReads(openReadsMax: number, clock: Pick<Clock, 'random'>): OpenRead {
  let openReads = 0;
  return () => {
    if (openReads >= openReadsMax) {
      const detail = `${openReads} reads are open, the limit is ${openReadsMax}`;
      const retryAfterMs = Math.ceil(1_000 * (1 + clock.random()));
      throw new ProblemError(createProblem('overloaded', detail, { retryAfterMs }));
    }
    openReads += 1;
    let isOpen = true;
    return () => {
      if (isOpen) openReads -= 1;
      isOpen = false;
    };
  };
}
