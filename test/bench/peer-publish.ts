import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type CpuMeter, processMeter } from './cpu.ts';

/** Whoever takes events without HTTP: a process that has the client library, and publishes. */
export interface Publisher {
  readonly cpu: CpuMeter;
  publish(order: Publishing): Promise<Published>;
  stop(): Promise<void>;
}

export type PeerName = 'pg-boss' | 'NATS JetStream' | 'Redis Streams';

export interface PublisherSettings {
  readonly peer: PeerName;
  /** Of its server. */
  readonly url: string;
  /** Bodies of the load, one a line: their events are what is published. */
  readonly file: string;
}

export interface Publishing {
  readonly count: number;
  /** Publishes under way at once, of so many events each. */
  readonly concurrency: number;
  readonly eventsEach: number;
}

export interface Published {
  readonly tookMs: Float64Array;
}

export type PublisherAnswer = { readonly result: Published | undefined } | { readonly error: string };

export async function startPublisher(settings: PublisherSettings): Promise<Publisher> {
  const child = fork(fileURLToPath(new URL('peer-publisher.ts', import.meta.url)), {
    execArgv: ['--import', import.meta.resolve('tsx')],
    serialization: 'advanced',
  });
  const ended = once(child, 'exit');

  async function order(what: PublisherSettings | Publishing): Promise<Published | undefined> {
    const answered = once(child, 'message');
    child.send(what);
    const [answer] = (await Promise.race([answered, ended.then(() => [{ error: 'it ended' }])])) as [
      PublisherAnswer,
    ];
    if ('error' in answer) throw new Error(`${settings.peer}: ${answer.error}`);
    return answer.result;
  }

  await order(settings);
  return {
    cpu: processMeter(child.pid ?? 0),
    async publish(what) {
      const published = await order(what);
      if (published === undefined) throw new Error(`${settings.peer} says nothing of what it published`);
      return published;
    },
    async stop() {
      child.disconnect();
      await ended;
    },
  };
}
