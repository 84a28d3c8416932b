import type { EventResult } from '@tidemark/core/wire';
import type { RowOutcome } from './append.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import { type LetterReason, letterOfRejection, letterOfRow } from './dead-letter.ts';
import type { DecodedBatch, DecodedEvent } from './decode.ts';
import { type Sender, withSender } from './sender.ts';
import type { Settings } from './settings.ts';
import { stampRows } from './stamp-rows.ts';
import type { Submit } from './submit.ts';

/** What became of a batch: the body of the answer without its times. */
export interface BatchOutcome {
  /** `spooled`: on this collector's disk, and all that is valid counts as accepted. */
  readonly durability: 'committed' | 'spooled';
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** Events that were not plainly accepted, in the order sent. */
  readonly results: readonly EventResult[];
}

export interface BatchContext {
  /** Database time, microseconds. */
  readonly receivedAt: bigint;
  /** Whose batch it is. */
  readonly keyId: string;
  readonly mayWrite: (stream: string) => boolean;
  /** Who sent it; asked only where a stream asks. */
  readonly sender: () => Sender;
}

export interface BatchIntakeDependencies {
  readonly submit: Submit;
  readonly newId: () => string;
  readonly asks: Settings['asks'];
  /** Told of what was rejected, when the rest is on disk. */
  readonly onDeadLetters: (letters: readonly DeadLetter[]) => void;
}

/**
 * Takes a decoded batch through stamp and append. Resolves when what it accepted is on disk; rejects when
 * that is not known, or there is no room for it.
 */
export function createBatchIntake({ submit, newId, asks, onDeadLetters }: BatchIntakeDependencies) {
  return async function takeBatch(batch: DecodedBatch, context: BatchContext): Promise<BatchOutcome> {
    const results: EventResult[] = batch.rejections.map(({ index, id, code, message }) => ({
      index,
      id,
      status: 'rejected',
      code,
      message,
    }));
    const letters = batch.rejections.map((rejection) => letterOfRejection(rejection, batch, context));
    const submitted: DecodedEvent[] = [];
    const refused: DecodedEvent[] = [];
    for (const event of batch.events) (context.mayWrite(event.stream) ? submitted : refused).push(event);
    for (const event of refused) results.push(forbidden(event));
    stampRows(refused, batch, context.receivedAt, newId).forEach((row) =>
      letters.push(letterOfRow(row, forbiddenReason(row.stream), context.keyId)),
    );

    const rows = withSender(stampRows(submitted, batch, context.receivedAt, newId), asks, context.sender);
    const { durability, outcomes } = await submit(rows, context.keyId);

    let accepted = 0;
    let duplicates = 0;
    submitted.forEach(({ index, id }, at) => {
      const outcome = outcomes[at];
      const storedId = rows[at]?.id ?? '';
      if (outcome?.outcome === 'duplicate') {
        duplicates += 1;
        results.push({ index, id: storedId, status: 'duplicate' });
      } else if (outcome?.outcome === 'stored') {
        accepted += 1;
        if (id === undefined) results.push({ index, id: storedId, status: 'accepted', code: 'id_generated' });
      } else {
        const reason = rejectedAtAppend(outcome);
        results.push({ index, id: storedId, status: 'rejected', ...reason });
        const row = rows[at];
        if (row !== undefined) letters.push(letterOfRow(row, reason, context.keyId));
      }
    });
    if (letters.length > 0) onDeadLetters(letters);
    results.sort((a, b) => a.index - b.index);
    return {
      durability,
      accepted,
      duplicates,
      rejected: results.filter(({ status }) => status === 'rejected').length,
      results,
    };
  };
}

function forbidden({ index, id, stream }: DecodedEvent): EventResult {
  return { index, id: id ?? null, status: 'rejected', ...forbiddenReason(stream) };
}

function forbiddenReason(stream: string): LetterReason {
  return { code: 'stream_forbidden', message: `The key may not write to stream ${stream}` };
}

function rejectedAtAppend(outcome: RowOutcome | undefined): LetterReason {
  if (outcome?.outcome !== 'rejected') throw new Error('The appender gave no outcome for an event');
  return { code: outcome.code, message: outcome.message };
}
