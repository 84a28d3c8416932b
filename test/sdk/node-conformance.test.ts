import { createClient } from '@tidemark/node';
import { vi } from 'vitest';
import { describeSdk } from './conformance.ts';

describeSdk('@tidemark/node', ({ clockAheadMs, ...options }) => {
  // Only the client asks for the time in this way: the far side reads the same clock, so it is told apart by its caller.
  const now = Date.now.bind(Date);
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() + (calledBySdk() ? clockAheadMs : 0));
  const client = createClient({ ...options, exitMs: 0 });
  return Promise.resolve({
    async track(events) {
      for (const { name, props, id } of events) void client.track(name, props, { id });
    },
    flush: () => client.flush(),
    counters: () => Promise.resolve(client.counters()),
    async close() {
      await client.close({ timeoutMs: 0 });
      clock.mockRestore();
    },
  });
});

function calledBySdk(): boolean {
  return (new Error('where').stack ?? '').includes('/sdk-node/src/platform');
}
