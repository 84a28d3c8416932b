import type { Limits, RejectionCode } from '@tidemark/core/wire';
import type { AppendRow } from '../store/append.ts';
import type { StoredLetter } from '../store/dead-letters.ts';
import { decodeCloudEvent } from './cloudevents.ts';
import type { LetterReason } from './dead-letter.ts';
import type { Decoded, DecodedEvent } from './decode.ts';
import { decodeLines } from './ndjson.ts';
import { stampRows } from './stamp-rows.ts';
import type { Submit } from './submit.ts';

/** What became of one letter. */
export type ReplayOutcome =
  | { readonly letter: StoredLetter; readonly status: 'stored' | 'duplicate' }
  | ({ readonly letter: StoredLetter; readonly status: 'rejected' } & LetterReason);

export interface ReplayDependencies {
  readonly submit: Submit;
  readonly limits: Limits;
}

/**
 * Sends rejected events once more, as they came then: with the clock and the time of arrival of then, so that they get the event time
 * that they would have had. A letter whose event has no id brings one that is always the same, so that a replay may be repeated. Rejects
 * when it is not known what was stored.
 */
export function createReplay({ submit, limits }: ReplayDependencies) {
  return async function replay(
    letters: readonly StoredLetter[],
    sender: string,
  ): Promise<readonly ReplayOutcome[]> {
    const read = letters.map((letter) => ({ letter, ...readLetter(letter, limits) }));
    const readable = read.filter((one) => 'row' in one);
    const { outcomes } = await submit(
      readable.map(({ row }) => row),
      sender,
    );
    return read.map((one) => {
      const { letter } = one;
      if (!('row' in one)) return { letter, status: 'rejected', code: one.code, message: one.message };
      const outcome = outcomes[readable.indexOf(one)];
      if (outcome === undefined) throw new Error('The appender gave no outcome for an event');
      if (outcome.outcome !== 'rejected') return { letter, status: outcome.outcome };
      return { letter, status: 'rejected', code: outcome.code, message: outcome.message };
    });
  };
}

function readLetter(letter: StoredLetter, limits: Limits): { readonly row: AppendRow } | LetterReason {
  if (letter.truncated) {
    const message = 'Only the beginning of this event was kept: its sender has to send it again';
    return { code: letter.code as RejectionCode, message };
  }
  const decoded = decodeLetter(letter, limits);
  if (!decoded.ok) return { code: 'invalid_json', message: decoded.problem.detail };
  const [rejection] = decoded.batch.rejections;
  if (rejection !== undefined) return { code: rejection.code, message: rejection.message };
  const [event] = decoded.batch.events;
  const row = event === undefined ? undefined : rowOf(event, letter);
  return row === undefined ? { code: 'invalid_event', message: 'the text of the event is empty' } : { row };
}

function decodeLetter({ raw, cloudEvent, stream }: StoredLetter, limits: Limits): Decoded {
  const context = { limits, defaultStream: stream ?? 'default' };
  if (cloudEvent) return decodeCloudEvent(Buffer.from(raw), context);
  // Line breaks can only stand between the tokens of JSON.
  return decodeLines(Buffer.from(raw.replaceAll(/[\r\n]/g, ' ')), undefined, context);
}

function rowOf(event: DecodedEvent, letter: StoredLetter): AppendRow | undefined {
  const { sentAt, offsetMicros, rttMs, receivedAt, spareId } = letter;
  const clock = offsetMicros === null || rttMs === null ? undefined : { offsetMicros, rttMs };
  const [row] = stampRows([event], { sentAt: sentAt ?? undefined, clock }, receivedAt, () => spareId);
  return row;
}
