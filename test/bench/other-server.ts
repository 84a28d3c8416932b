import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type CpuMeter, processMeter } from './cpu.ts';

/** A server in a process of its own that the product is held against. */
export interface OtherServer {
  readonly url: string;
  readonly cpu: CpuMeter;
  stop(): Promise<void>;
}

/** A Hono route that reads bodies and answers a constant: `accepted`, as the generator looks at it. */
export const startBareServer = (accepted: number) =>
  startOther(new URL('bare.ts', import.meta.url), accepted);

/** The same from a server of Node's own. */
export const startBareNode = (accepted: number) =>
  startOther(new URL('bare-node.ts', import.meta.url), accepted);

/** A program: it is sent `settings`, answers with the address that it listens on, and ends when nobody holds it any more. */
export async function startOther(program: URL, settings: number | string): Promise<OtherServer> {
  const child = fork(fileURLToPath(program), {
    execArgv: ['--import', import.meta.resolve('tsx')],
  });
  const listening = once(child, 'message');
  child.send(settings);
  const [{ port }] = (await listening) as [AddressInfo];
  return {
    url: `http://127.0.0.1:${port}`,
    cpu: processMeter(child.pid ?? 0),
    async stop() {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}
