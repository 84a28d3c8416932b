import type { Reply } from '@tidemark/core';
import type { EventResult, SentEvent } from '@tidemark/core/wire';
import type { Chance } from './chance.ts';
import type { VirtualTime } from './virtual-time.ts';

/** The far side: stores by id, refuses for good what it was told to, and limits bodies and batches. */
export interface ModelCollector {
  /** Ids that are stored, and when (true time). */
  readonly stored: ReadonlyMap<string, number>;
  /** Answers as a healthy collector; `receivedAt` is when the request came. */
  post(body: string, receivedAt: number): Reply;
  time(receivedAt: number): Reply;
  refuse(status: number, code: string, extra?: object, headers?: { readonly retryAfter?: string }): Reply;
}

export interface CollectorLimits {
  readonly bodyBytes: number;
  readonly batchEvents: number;
}

export function createModelCollector(
  time: VirtualTime,
  chance: Chance,
  limits: CollectorLimits,
  isRefused: (event: SentEvent) => boolean,
): ModelCollector {
  const stored = new Map<string, number>();
  const times = (receivedAt: number): { receivedAt: string; respondedAt: string } => ({
    receivedAt: iso(receivedAt),
    respondedAt: iso(time.trueMs()),
  });

  return {
    stored,
    post(body, receivedAt) {
      const { events } = JSON.parse(body) as { events: readonly SentEvent[] };
      if (body.length > limits.bodyBytes) return refuse(413, 'body_too_large', { limit: limits.bodyBytes });
      if (events.length > limits.batchEvents) {
        return refuse(413, 'batch_too_large', { limit: limits.batchEvents });
      }
      const results: EventResult[] = [];
      for (const [index, event] of events.entries()) {
        const id = event.id ?? '';
        if (isRefused(event)) {
          results.push({ index, id, status: 'rejected', code: 'invalid_props', message: 'refused' });
        } else if (stored.has(id)) results.push({ index, id, status: 'duplicate' });
        else stored.set(id, time.trueMs());
      }
      const rejected = results.filter(({ status }) => status === 'rejected').length;
      return {
        status: 200,
        pressure: chance.next().toFixed(2),
        body: JSON.stringify({
          ...times(receivedAt),
          durability: 'committed',
          accepted: events.length - results.length,
          duplicates: results.length - rejected,
          rejected,
          results,
        }),
      };
    },
    time: (receivedAt) => ({ status: 200, body: JSON.stringify(times(receivedAt)) }),
    refuse,
  };

  function refuse(status: number, code: string, extra: object = {}, headers: object = {}): Reply {
    return { status, body: JSON.stringify({ status, code, detail: code, ...extra }), ...headers };
  }
}

function iso(trueMs: number): string {
  return new Date(trueMs).toISOString().replace('Z', '000Z');
}
