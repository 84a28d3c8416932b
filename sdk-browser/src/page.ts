import { randomOfCrypto } from './platform.ts';
import type { Environment } from './client.ts';
import { createPageStore } from './page-store.ts';

/** Web pages, and workers of all kinds. */
export const page: Environment = {
  exists: isPage,
  random: randomOfCrypto,
  openStore: createPageStore,
  listen(leave, resume) {
    const hear = ({ type }: Event): void => {
      if (type === 'pagehide') leave(true);
      // A phone may end a hidden page without another word.
      else if (type === 'visibilitychange' && document.hidden) leave(false);
      else resume();
    };
    // The last one: back from the browser's cache of pages.
    const names = ['visibilitychange', 'pagehide', 'online', 'pageshow'];
    for (const name of names) addEventListener(name, hear, true);
    return () => {
      for (const name of names) removeEventListener(name, hear, true);
    };
  },
};

/** Where there is neither, on a server say, a client does nothing. */
export function isPage(): boolean {
  return 'document' in globalThis || 'WorkerGlobalScope' in globalThis;
}
