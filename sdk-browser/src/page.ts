import { randomOfCrypto } from './platform.ts';
import type { Environment } from './client.ts';
import { createPageStore } from './page-store.ts';

/** Web pages, and workers of all kinds. */
export const page: Environment = {
  exists: isPage,
  random: randomOfCrypto,
  bytesOf: (text) => new TextEncoder().encode(text).length,
  openStore: createPageStore,
  listen(leave, resume) {
    const listening = new AbortController();
    const on = (name: string, listener: () => void): void =>
      addEventListener(name, listener, { signal: listening.signal, capture: true });
    // A phone may end a hidden page without another word.
    on('visibilitychange', () => {
      if (document.visibilityState === 'hidden') leave(false);
    });
    on('pagehide', () => leave(true));
    // Back from the browser's cache of pages.
    on('pageshow', resume);
    on('online', resume);
    return () => listening.abort();
  },
};

/** Where there is neither, on a server say, a client does nothing. */
export function isPage(): boolean {
  return 'document' in globalThis || 'WorkerGlobalScope' in globalThis;
}
