import { setTimeout as sleep } from 'node:timers/promises';

/** Asks again and again until the answer is true; fails after `deadlineMs` (default 10 s), naming what was awaited. */
export async function eventually(
  what: string,
  check: () => boolean | Promise<boolean>,
  deadlineMs = 10_000,
): Promise<void> {
  const deadline = AbortSignal.timeout(deadlineMs);
  while (!(await check())) {
    if (deadline.aborted) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(20);
  }
}
