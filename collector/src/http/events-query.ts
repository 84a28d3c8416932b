import { parseTime } from '@tidemark/core/wire';
import type { Context } from 'hono';
import { clientOffset, type DecodedBatch } from '../ingest/decode.ts';

/**
 * `?sentAt=&offsetMs=&rttMs=` say when a batch was sent and what its sender knows of its clock, and win over the body: they change
 * with every attempt, while the body stays as it is. What cannot be read counts as absent.
 */
export function applyQuery(batch: DecodedBatch, { req: request }: Context): DecodedBatch {
  if (!request.url.includes('?')) return batch;
  const sentAt = parseTime(request.query('sentAt') ?? '');
  const clock = clientOffset(readNumber(request.query('offsetMs')), readNumber(request.query('rttMs')));
  return { ...batch, sentAt: sentAt ?? batch.sentAt, clock: clock ?? batch.clock };
}

function readNumber(text: string | undefined): number | undefined {
  return text === undefined || text.trim() === '' ? undefined : Number(text);
}
