/**
 * Keeps the process alive until a promise settles, at most `timeoutMs`. Our own timers do not: who waits for one of them would else see
 * the process end in the middle of an `await`.
 */
export function awake<Result>(promise: Promise<Result>, timeoutMs: number): Promise<Result> {
  const timer = setTimeout(() => {}, timeoutMs);
  return promise.finally(() => clearTimeout(timer));
}
