/**
 * Runs with a signal that aborts after `timeoutMs` or with `parent`. (AbortSignal.any on a signal that lives as long as the client would
 * gather one dependent per request.)
 */
export async function withDeadline<Result>(
  timeoutMs: number,
  parent: AbortSignal,
  run: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const timer = setTimeout(abort, timeoutMs).unref();
  parent.addEventListener('abort', abort);
  try {
    return await run(controller.signal);
  } finally {
    clearTimeout(timer);
    parent.removeEventListener('abort', abort);
  }
}
