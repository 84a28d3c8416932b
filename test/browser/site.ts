import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { bundle } from '../../sdk-browser/build/bundle.ts';

/** A site of one server: every path is a page with the SDK, as it is published, as its script, under a strict policy. */
export interface Site {
  readonly url: string;
  close(): Promise<void>;
}

/** No script that is not a file of the site, and none made of text; it may connect to anybody. */
const policy = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src *; trusted-types";

export async function startSite(): Promise<Site> {
  const [{ code: script }, { code: lite }] = await Promise.all([
    bundle('script', 'tidemark'),
    bundle('lite', 'lite'),
  ]);
  const scripts: Record<string, string> = {
    '/tidemark.js': script,
    '/lite.js': lite,
    // A worker that evaluates nothing: it is told what to track.
    '/worker.js': `${script}
      addEventListener('message', async ({ data: { options, count } }) => {
        const client = tidemark.createClient(options);
        for (let i = 0; i < count; i++) client.track('worked', { i });
        const { pending } = await client.flush();
        postMessage({ pending });
      });`,
    '/service-worker.js': `${script}
      addEventListener('activate', (event) => event.waitUntil(clients.claim()));
      addEventListener('message', (event) => {
        const { options, count } = event.data;
        const client = tidemark.createClient(options);
        for (let i = 0; i < count; i++) client.track('served', { i });
        event.waitUntil(client.flush());
      });`,
  };
  const server = createServer((request, response) => {
    const text = scripts[new URL(request.url ?? '/', 'http://site').pathname];
    response.writeHead(200, {
      'content-type': text === undefined ? 'text/html' : 'text/javascript',
      'content-security-policy': policy,
    });
    response.end(text ?? html);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const html = `<!doctype html><title>Site</title><script src="/tidemark.js"></script><script src="/lite.js"></script>
  <body><a id="out" href="http://elsewhere.test/page?secret=1#x">Elsewhere</a> <a id="in" href="/inside">Inside</a></body>`;

/** For a page to evaluate: how much the device keeps for a collector, as events in IndexedDB and as items of localStorage. */
export function countStored(collectorUrl: string): string {
  return `(async () => {
    let count = 0;
    try {
      count += Object.keys(localStorage).filter((name) => name.startsWith('tidemark k ${collectorUrl} ')).length;
    } catch {}
    try {
      for (const { name } of await indexedDB.databases()) {
        if (!name.includes('${collectorUrl}')) continue;
        const request = indexedDB.open(name);
        await new Promise((done) => { request.onsuccess = done; });
        const counting = request.result.transaction('events').objectStore('events').count();
        await new Promise((done) => { counting.onsuccess = done; });
        count += counting.result;
        request.result.close();
      }
    } catch {}
    return count;
  })()`;
}
