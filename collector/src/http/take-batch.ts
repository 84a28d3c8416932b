import { type BatchReply, formatTime } from '@tidemark/core/wire';
import type { DatabaseClock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';
import type { Admission, Overload, Ticket } from '../ingest/admit.ts';
import type { BatchContext, BatchOutcome } from '../ingest/batch.ts';
import type { Decoded, DecodedBatch } from '../ingest/decode.ts';
import type { Sender } from '../ingest/sender.ts';
import type { OverQuota, Quotas } from '../ingest/quota.ts';
import type { Metrics } from '../metrics.ts';
import { mayUseStream, type Principal } from './authenticate.ts';

export interface TakeBatchDependencies {
  readonly databaseClock: Pick<DatabaseClock, 'nowMicros'>;
  readonly admission: Admission;
  readonly quotas: Quotas;
  readonly takeBatch: (batch: DecodedBatch, context: BatchContext) => Promise<BatchOutcome>;
  readonly metrics: Metrics;
  /** True once the collector takes on nothing more. */
  readonly closing: () => boolean;
}

/** A request that brings events. */
export interface Bringing {
  readonly principal: Principal;
  /** Database time at the first line of the handler, microseconds. */
  readonly receivedAt: bigint;
  /** What is known of its size before it is read. */
  readonly announcedBytes: number;
  readonly sender: () => Sender;
  /** Reads and decodes it; bytes that were not announced are taken from the ticket. */
  readonly decode: (ticket: Ticket) => Decoded | Promise<Decoded>;
}

/**
 * What all ways of sending events have in common: admitted first, then read and decoded, then stored, then answered. Rejects with
 * a ProblemError where nothing was stored, and with what the store rejects with.
 */
export function createBatchTaker(dependencies: TakeBatchDependencies) {
  const { databaseClock, admission, quotas, takeBatch, metrics, closing } = dependencies;

  return async function take({
    principal,
    receivedAt,
    announcedBytes,
    sender,
    decode,
  }: Bringing): Promise<BatchReply> {
    if (closing()) throw shuttingDown(admission);
    const overQuota = quotas.refusal(principal, 'both');
    if (overQuota !== undefined) throw rateLimited(overQuota);
    const admitted = admission.admit(announcedBytes, principal.keyId);
    if (!admitted.admitted) throw overloaded(admitted, admission);
    quotas.takeBytes(principal, announcedBytes);
    const ticket = metered(admitted, principal);
    let outcome: 'stored' | 'failed' = 'failed';
    try {
      const decoded = await decode(ticket);
      if (!decoded.ok) throw new ProblemError(problemOf(decoded.problem));
      if (!ticket.mayWait(decoded.batch.events.length))
        throw overloaded({ detail: 'others were decoded sooner, and the queue is full' }, admission);
      takeEvents(principal, decoded.batch);
      const mayWrite = (stream: string): boolean => mayUseStream(principal, stream);
      const taken = await takeBatch(decoded.batch, { receivedAt, keyId: principal.keyId, mayWrite, sender });
      outcome = 'stored';
      count(taken);
      const respondedAt = databaseClock.nowMicros();
      return {
        receivedAt: formatTime(receivedAt),
        respondedAt: formatTime(respondedAt < receivedAt ? receivedAt : respondedAt),
        ...taken,
      };
    } finally {
      ticket.release(outcome);
    }
  };

  /** Bytes that were not announced count as they come. */
  function metered(ticket: Ticket, principal: Principal): Ticket {
    if (principal.bytesPerSecond === null) return ticket;
    return {
      ...ticket,
      add(bytes) {
        quotas.takeBytes(principal, bytes);
        return ticket.add(bytes);
      },
    };
  }

  /** Asked for once more, as other batches of the key may have been decoded since. */
  function takeEvents(principal: Principal, { events, rejections }: DecodedBatch): void {
    if (principal.eventsPerSecond === null) return;
    const overQuota = quotas.refusal(principal, 'events');
    if (overQuota !== undefined) throw rateLimited(overQuota);
    quotas.takeEvents(principal, events.length + rejections.length);
  }

  /** What is in the spool counts when it has got to Postgres. */
  function count({ durability, accepted, duplicates, results }: BatchOutcome): void {
    if (durability === 'committed') metrics.eventsAccepted.inc(accepted);
    metrics.eventsDuplicate.inc(duplicates);
    for (const result of results) {
      if (result.status === 'rejected') metrics.eventsRejected.inc({ code: result.code });
    }
  }
}

function problemOf({ code, detail, limit = 0, actual = 0 }: Extract<Decoded, { ok: false }>['problem']) {
  const sized = code === 'batch_too_large' || code === 'body_too_large';
  return sized ? createProblem(code, detail, { limit, actual }) : createProblem('malformed', detail);
}

export function overloaded(
  { detail }: Pick<Overload, 'detail'>,
  admission: Pick<Admission, 'retryAfterMs'>,
): ProblemError {
  const numbers = { retryAfterMs: admission.retryAfterMs() };
  return new ProblemError(createProblem('overloaded', `Too much at once: ${detail}.`, numbers));
}

function rateLimited({ detail, retryAfterMs }: OverQuota): ProblemError {
  return new ProblemError(createProblem('rate_limited', `Too much: ${detail}.`, { retryAfterMs }));
}

function shuttingDown(admission: Admission): ProblemError {
  const numbers = { retryAfterMs: admission.retryAfterMs() };
  return new ProblemError(
    createProblem('shutting_down', 'The collector is closing: send the batch again.', numbers),
  );
}
