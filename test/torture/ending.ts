import type { Reader } from './readers.ts';

/** What is known of a client's end: the time that it has to pass, once it is said, and whether it shall stop before. */
export interface Ending {
  readonly target: bigint | undefined;
  readonly signal: AbortSignal;
}

/** A client that does its work in a loop, until it has passed a time or is stopped. */
export function startClient(name: string, work: (ending: Ending) => Promise<void>): Reader {
  const stopped = new AbortController();
  const ending: { target: bigint | undefined; signal: AbortSignal } = {
    target: undefined,
    signal: stopped.signal,
  };
  let failure: Error | undefined;
  const running = work(ending).catch((error: unknown) => {
    failure = error instanceof Error ? error : new Error(String(error));
  });
  return {
    async passed(time, signal) {
      ending.target = time;
      const end = (): void => stopped.abort();
      signal.addEventListener('abort', end);
      if (signal.aborted) end();
      await running;
      signal.removeEventListener('abort', end);
      if (failure !== undefined) throw failure;
      if (signal.aborted) throw new Error(`${name} did not come to its end`);
    },
  };
}
