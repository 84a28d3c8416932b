import { setTimeout as sleep } from 'node:timers/promises';
import type { EventSourceMessage } from 'eventsource-parser';
import type { StoredEvent } from '@tidemark/core/wire';
import type { Random } from '../harness/seed.ts';
import { type Ending, startClient } from './ending.ts';
import { earliest } from './history.ts';
import { micros, seenEvent, UnavailableError } from './http.ts';
import type { Reader, ReaderOptions } from './readers.ts';
import { nowMs, type StreamRecord } from './record.ts';

/**
 * A client that follows a stream live, as a browser's `EventSource` does: it comes back with the last id that it was given, to any of the
 * collectors. It breaks off by itself too, in the middle of whatever comes.
 */
export function startLiveReader(
  { http, collectors, onSurprise }: Omit<ReaderOptions, 'resume'>,
  stream: StreamRecord,
  name: string,
  random: Random,
): Reader {
  const chain = stream.chain(name, earliest);
  let lastId: string | undefined;

  async function follow(ending: Ending): Promise<void> {
    while (!ending.signal.aborted) {
      const collector = collectors[random.below(collectors.length)];
      if (collector === undefined) throw new Error('there is no collector');
      // A watermark is said at the beginning: at the end it is asked for again and again.
      const forMs = ending.target === undefined ? 200 + random.below(3_000) : 1_000;
      const signal = AbortSignal.any([ending.signal, AbortSignal.timeout(forMs)]);
      const query = {
        from: 'earliest',
        limit: String(1 + random.below(300)),
        maxBytes: String(1_000 + random.below(60_000)),
      };
      const askedMs = nowMs();
      try {
        for await (const message of http.live(collector.url, stream.name, query, lastId, signal))
          if (take(message, askedMs, ending)) return;
      } catch (error) {
        if (!(error instanceof UnavailableError)) onSurprise(error);
      }
      await sleep(random.below(100));
    }
  }

  /** True: it has passed what it was to pass. */
  function take({ event, id, data }: EventSourceMessage, askedMs: number, { target }: Ending): boolean {
    if (event === 'events' && id !== undefined) {
      chain.page({ events: (JSON.parse(data) as StoredEvent[]).map(seenEvent), next: id });
      lastId = id;
    }
    if (event !== 'watermark' || id === undefined) return false;
    const told = JSON.parse(data) as { watermark: string; behindMs: number };
    chain.page({ events: [], next: id });
    lastId = id;
    stream.told(askedMs, micros(told.watermark));
    return target !== undefined && told.behindMs === 0 && micros(told.watermark) > target;
  }

  return startClient(name, follow);
}
